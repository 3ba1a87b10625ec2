// Package source finds the objects that rows are read from and opens them.
//
// An origin is what a user writes on the command line: a file, a directory, a glob, "-" for
// standard input, an s3:// or an https:// address. Resolve turns origins into objects: one stored file
// each, in an order that depends on names only. Open gives an object's bytes, decompressed,
// and vouches for them: an object that is not the same at its end as it was when it was
// resolved is an error, never a quiet mixture of two files. Batches reads many objects as one
// stream of Arrow batches.
//
// The package knows nothing of tables, columns or what becomes of a batch, and it parses
// nothing: that is arrowconv's.
package source
