package stack

import (
	"context"
	"net"
	"path/filepath"
)

// StartMoto starts moto, which answers as AWS does, of which Glue and S3 are used here: both at the
// Endpoint. requirements is the file that names its version. Its memory is all it keeps.
func StartMoto(ctx context.Context, t *Tools, o Options, requirements string) (*S3, error) {
	python, err := t.Python(ctx, requirements)
	if err != nil {
		return nil, err
	}
	return startS3(ctx, o, "moto", filepath.Join(o.Dir, "s3"), "/moto-api/", nil, func(address string) []string {
		host, port, _ := net.SplitHostPort(address)
		return []string{python, "-m", "moto.server", "-H", host, "-p", port}
	})
}
