package stage

import (
	"fmt"
	"path"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/twmb/murmur3"
)

// locations says where data files go, as Java's location providers do. iceberg-go's parse
// locations as URLs, which rewrites odd characters, and give a partitioned table in object
// storage no hash.
type locations struct {
	root        string // without a trailing slash
	hashed      bool
	partitioned bool   // of hashed: with the partition path after the hash
	context     string // of hashed with a root outside the table: what keeps tables apart
}

const (
	objectStoragePathKey = "write.object-storage.path" // deprecated names that old tables carry
	folderStoragePathKey = "write.folder-storage.path"
)

func newLocations(tableLocation string, props iceberg.Properties) locations {
	tableLocation = strings.TrimRight(tableLocation, "/")
	l := locations{root: tableLocation + "/data"}
	l.hashed = props.GetBool(table.ObjectStoreEnabledKey, table.ObjectStoreEnabledDefault)
	l.partitioned = props.GetBool(table.WriteObjectStorePartitionedPathsKey, table.WriteObjectStorePartitionedPathsDefault)
	keys := []string{table.WriteDataPathKey, folderStoragePathKey}
	if l.hashed {
		keys = []string{table.WriteDataPathKey, objectStoragePathKey, folderStoragePathKey}
	}
	for _, key := range keys {
		if p := strings.TrimRight(props[key], "/"); p != "" {
			l.root = p
			break
		}
	}
	if l.hashed && !strings.HasPrefix(l.root, tableLocation) {
		l.context = path.Base(path.Dir(tableLocation)) + "/" + path.Base(tableLocation)
	}
	return l
}

// file returns the location of a data file; partition is its path, "" where there is none.
func (l locations) file(partition, name string) string {
	full := name
	if partition != "" {
		full = partition + "/" + name
	}
	if !l.hashed {
		return l.root + "/" + full
	}
	if partition != "" && !l.partitioned {
		full = name
	}
	hash := entropy(full)
	if !l.partitioned {
		return l.root + "/" + hash + "-" + name
	}
	if l.context != "" {
		full = l.context + "/" + full
	}
	return l.root + "/" + hash + "/" + full
}

// entropy spreads names over 2^20 prefixes: 20 bits of murmur3 as 0110/1001/0101/00011110.
func entropy(name string) string {
	bits := fmt.Sprintf("%020b", murmur3.StringSum32(name)&(1<<20-1))
	return bits[:4] + "/" + bits[4:8] + "/" + bits[8:12] + "/" + bits[12:]
}
