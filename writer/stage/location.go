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
	partition = shortened(partition)
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

// maxSegment is the length in bytes from which on a partition's folder is cut: file systems take
// names of 255 bytes, and object stores keys of 1,024.
const maxSegment = 200

// shortened cuts the long folders of a partition path and gives them a hash of what they were.
// Readers take partition values from the manifests, never from paths; a long text is three times
// as long in a path.
func shortened(partition string) string {
	if len(partition) <= maxSegment {
		return partition
	}
	folders := strings.Split(partition, "/")
	for i, f := range folders {
		if len(f) <= maxSegment {
			continue
		}
		cut := maxSegment - 17
		if p := strings.LastIndexByte(f[:cut], '%'); p > cut-3 {
			cut = p // not within an escape such as %E6
		}
		folders[i] = fmt.Sprintf("%s~%016x", f[:cut], murmur3.StringSum64(f))
	}
	return strings.Join(folders, "/")
}

// entropy spreads names over 2^20 prefixes: 20 bits of murmur3 as 0110/1001/0101/00011110.
func entropy(name string) string {
	bits := fmt.Sprintf("%020b", murmur3.StringSum32(name)&(1<<20-1))
	return bits[:4] + "/" + bits[4:8] + "/" + bits[8:12] + "/" + bits[12:]
}
