package stack

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"
)

// REST is a running Iceberg REST catalog that keeps its tables on an S3 server. It asks
// for no credentials and vends none: its clients bring their own for the S3 server.
type REST struct {
	*Process `json:"process"`
	// URI is what clients call the catalog's uri.
	URI string `json:"uri"`
	// Warehouse is what clients must call the warehouse.
	Warehouse string `json:"warehouse"`
	// KeepsSnapshots is false where a table shows its newest snapshot only, without a
	// parent, which is how Nessie does it: there the history is in Nessie's own commits.
	KeepsSnapshots bool `json:"keeps_snapshots"`
	// MaxFormatVersion is the newest format version of tables it can make.
	MaxFormatVersion int `json:"max_format_version"`
}

// StartNessie starts Project Nessie with its in-memory version store.
func StartNessie(ctx context.Context, t *Tools, o Options, s *S3) (*REST, error) {
	java, jar, err := t.nessie(ctx)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	argv := []string{java, "-Xmx512m"}
	for _, p := range append(nessieSettings(s),
		[2]string{"quarkus.http.host", "127.0.0.1"}, [2]string{"quarkus.http.port", strconv.Itoa(ports[0])},
		[2]string{"quarkus.management.host", "127.0.0.1"}, [2]string{"quarkus.management.port", strconv.Itoa(ports[1])}) {
		argv = append(argv, "-D"+p[0]+"="+p[1])
	}
	if o.Vend {
		for _, p := range [][2]string{
			{"sts-endpoint", s.Endpoint},
			{"client-iam.enabled", "true"},
			{"client-iam.assume-role", "arn:aws:iam::000000000000:role/any"}, // MinIO knows no roles
			{"client-iam.role-session-name", "nessie"},
		} {
			argv = append(argv, "-Dnessie.catalog.service.s3.default-options."+p[0]+"="+p[1])
		}
	}
	argv = append(argv, "-jar", jar)
	p, err := start(ctx, o, "nessie", fmt.Sprintf("http://127.0.0.1:%d/q/health/ready", ports[1]), 3*time.Minute, nil, argv...)
	if err != nil {
		return nil, err
	}
	return &REST{
		Process: p, URI: fmt.Sprintf("http://127.0.0.1:%d/iceberg", ports[0]), Warehouse: nessieWarehouse,
		MaxFormatVersion: 2,
	}, nil
}

const nessieWarehouse = "lake"

// nessieSettings lead Nessie to an S3 server. compose.yaml says the same.
func nessieSettings(s *S3) [][2]string {
	return [][2]string{
		{"nessie.version.store.type", "IN_MEMORY"},
		{"nessie.catalog.default-warehouse", nessieWarehouse},
		{"nessie.catalog.warehouses." + nessieWarehouse + ".location", "s3://" + s.Bucket + "/nessie"},
		{"nessie.catalog.service.s3.default-options.endpoint", s.Endpoint},
		{"nessie.catalog.service.s3.default-options.region", s.Region},
		{"nessie.catalog.service.s3.default-options.path-style-access", "true"},
		// Signing for its clients is Nessie's default; it would take the place of their keys.
		{"nessie.catalog.service.s3.default-options.request-signing-enabled", "false"},
		{"nessie.catalog.service.s3.default-options.access-key", "urn:nessie-secret:quarkus:s3"},
		{"s3.name", s.AccessKey},
		{"s3.secret", s.SecretKey},
	}
}

// StartIcebergREST starts the REST catalog that Apache Iceberg tests its own clients
// with: its JDBC catalog on a SQLite file in o.Dir, behind its servlet.
func StartIcebergREST(ctx context.Context, t *Tools, o Options, s *S3) (*REST, error) {
	dir, err := t.icebergREST(ctx)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	warehouse := "s3://" + s.Bucket + "/warehouse"
	uri := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	p, err := start(ctx, o, "restcatalog", uri+"/v1/config", time.Minute, nil,
		"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(dir, "lib", "*"), filepath.Join(dir, "RestCatalog.java"), strconv.Itoa(ports[0]),
		"uri=jdbc:sqlite:"+filepath.Join(o.Dir, "catalog.db")+"?busy_timeout=10000&journal_mode=WAL&synchronous=NORMAL",
		"warehouse="+warehouse,
		"io-impl=org.apache.iceberg.aws.s3.S3FileIO",
		"client.region="+s.Region,
		"s3.endpoint="+s.Endpoint,
		"s3.path-style-access=true",
		"s3.access-key-id="+s.AccessKey,
		"s3.secret-access-key="+s.SecretKey)
	if err != nil {
		return nil, err
	}
	return &REST{
		Process: p, URI: uri, Warehouse: warehouse,
		KeepsSnapshots: true, MaxFormatVersion: 3,
	}, nil
}
