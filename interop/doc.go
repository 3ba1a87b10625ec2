// Package interop tests icewright from the outside: the built program against real S3
// servers behind a real Iceberg REST catalog, and its tables read back by PyIceberg, DuckDB,
// Spark and Trino. It holds tests only, behind the build tag interop:
//
//	make interop          # go test -tags interop,full -count=1 -timeout 45m ./interop/...
//
// The model of what a table must hold is kept here, in the test (model_test.go); the
// foreign readers answer from their own process (reader/, in Python). The servers come
// from localstack/stack, which installs what is missing.
package interop
