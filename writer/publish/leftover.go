package publish

import (
	"path"
	"regexp"
	"strings"

	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
)

// Other writers' manifests and manifest lists have such names too, but no UUID of version 7.
var ownMetadataName = regexp.MustCompile(`^(?:snap-\d+-0-)?([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})(?:-m\d+)?\.avro$`)

// WrittenBy tells from the name of a manifest or manifest list, folders left out, for which commit
// Publish wrote it; false: it did not.
func WrittenBy(name string) (id uuid.UUID, ok bool) {
	m := ownMetadataName.FindStringSubmatch(name)
	if m == nil {
		return id, false
	}
	id, err := uuid.Parse(m[1])
	return id, err == nil
}

// Folder is where manifests of the table are written, and whether they are the only ones there: a
// folder outside the table's location may hold those of other tables too.
func Folder(tbl *table.Table) (folder string, own bool, err error) {
	loc, err := tbl.LocationProvider()
	if err != nil {
		return "", false, err
	}
	const name = "x"
	folder = strings.TrimSuffix(loc.NewMetadataLocation(name), "/"+path.Base(name))
	return folder, strings.HasPrefix(folder, strings.TrimRight(tbl.Location(), "/")+"/"), nil
}
