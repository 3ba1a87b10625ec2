// Package functions is imported for its effect: it lets the program start without reading a quarter of a
// megabyte of YAML.
//
// To match rows, iceberg-go turns expressions into Substrait's and looks their functions up in the collection
// that Substrait publishes, some 800 signatures in 17 files. It reads them while its packages are initialised, whatever the
// program is about to do, which takes 0.13 s and 32 MB. It uses thirteen functions. The files beside this one
// declare those, and take the place of the others before anybody has read them.
//
// That works because the language orders initialisation: of the packages whose imports are all initialised, the one
// with the least import path is next. This one imports next to nothing, and github.com/icewright/… comes before
// github.com/substrait-io/substrait-go/…, which reads the files. A program that uses icewright as a library and
// Substrait for itself does not get this package: only the command imports it.
package functions

import (
	"embed"
	_ "unsafe" // for go:linkname

	_ "github.com/substrait-io/substrait" // has the variable
)

//go:embed extensions
var ours embed.FS

//go:linkname theirs github.com/substrait-io/substrait.substraitExtensionsFS
var theirs embed.FS

func init() { theirs = ours }
