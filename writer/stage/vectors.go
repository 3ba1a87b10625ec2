package stage

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/puffin"
	"github.com/apache/iceberg-go/table/dv"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/point"
	"github.com/icewright/icewright/writer/slice"
)

// vectorFileSize is how large a Puffin file gets, in bytes: it is put together in memory.
var vectorFileSize = 16 << 20

// vectors writes deletion vectors, one for each data file, and many to a Puffin file, which belongs to no partition.
// Source: iceberg.apache.org/puffin-spec/#deletion-vector-v1-blob-type.
func (w *deleteWriter) vectors(ctx context.Context, doomed []Doomed) ([]slice.StagedFile, error) {
	var staged []slice.StagedFile
	for n := 0; len(doomed) > 0; n++ {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		files, err := w.vectorFile(n, doomed)
		if err != nil {
			return nil, err
		}
		staged, doomed = append(staged, files...), doomed[len(files):]
	}
	return staged, nil
}

// vectorFile writes the vectors of as many data files as go into one Puffin file.
func (w *deleteWriter) vectorFile(n int, doomed []Doomed) ([]slice.StagedFile, error) {
	location := w.begin("", n, "puffin")
	var content bytes.Buffer
	to, err := puffin.NewWriter(&content)
	if err != nil {
		return nil, err
	}
	var blobs []puffin.BlobMetadata
	for _, d := range doomed {
		if len(blobs) > 0 && content.Len() > vectorFileSize {
			break
		}
		path := d.DataFile().FilePath()
		vector, err := dv.SerializeDV(d.Rows)
		if err != nil {
			return nil, fmt.Errorf("stage %s: deletion vector of %s: %w", location, path, err)
		}
		blob, err := to.AddBlob(puffin.BlobMetadataInput{
			Type: puffin.BlobTypeDeletionVector, SnapshotID: -1, SequenceNumber: -1, Fields: []int32{},
			Properties: map[string]string{"referenced-data-file": path, "cardinality": strconv.FormatInt(d.Rows.Cardinality(), 10)},
		}, vector)
		if err != nil {
			return nil, fmt.Errorf("stage %s: %w", location, err)
		}
		blobs = append(blobs, blob)
	}
	if err := to.Finish(); err != nil {
		return nil, fmt.Errorf("stage %s: %w", location, err)
	}
	if err := w.fsys.WriteFile(location, content.Bytes()); err != nil {
		return nil, fmt.Errorf("stage %s: %w", location, catalog.StorageFailure(err))
	}
	point.Reach("stage: deletion vectors written")
	staged := make([]slice.StagedFile, len(blobs))
	for i, blob := range blobs {
		b, err := w.builder(location, iceberg.PuffinFile, doomed[i], doomed[i].Rows.Cardinality(), int64(content.Len()))
		if err != nil {
			return nil, err
		}
		b.ReferencedDataFile(doomed[i].DataFile().FilePath()).ContentOffset(blob.Offset).ContentSizeInBytes(blob.Length)
		staged[i] = slice.StagedFile{DataFile: b.Build(), Partition: doomed[i].Partition}
	}
	return staged, nil
}
