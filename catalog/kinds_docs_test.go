package catalog_test

import (
	"testing"

	"github.com/icewright/icewright/internal/gendoc"
)

// kinds are the rows of the table of docs/catalogs.md; each is proved by its tests.
var kinds = []struct {
	typ, uri, atomic, against string
	tests                     []string
}{
	{"rest", "`http(s)://host/path`", "the server", "Apache Iceberg's REST catalog, Nessie", []string{"interop.TestTwoProcesses", "interop.TestFaultyServers"}},
	{"sql", "none, `sqlite:///path`, `file:path`, a path", "one UPDATE that names the old metadata", "SQLite in the program; read by PyIceberg and DuckDB", []string{"catalog.TestSuiteOnSQLite", "interop.TestTwoProcesses"}},
	{"sql", "`postgresql://user@host/db`, also `postgresql+psycopg2://` and the like", "the same", "Postgres 15 (Debian's); read by PyIceberg, and made by it", []string{"interop.TestSQLCatalogs", "interop.TestSQLEncrypted", "interop.TestSQLCommitLosesItsAnswer", "interop.TestSQLCreateLosesItsAnswer", "interop.TestPyIcebergWasThereFirst"}},
	{"sql", "`mysql://user@host/db`, also `mysql+pymysql://`, `mariadb://`", "the same", "MariaDB 10.11 (Debian's); read by PyIceberg", []string{"interop.TestSQLCatalogs", "interop.TestSQLEncrypted", "interop.TestSQLCommitLosesItsAnswer", "interop.TestSQLCreateLosesItsAnswer"}},
	{"hadoop", "none: `--catalog-prop type=hadoop --warehouse DIRECTORY`", "a second name for a file, which one can take", "local folders", []string{"catalog.TestSuiteOnHadoop", "Scripts/hadoop"}},
	{"hadoop", "the same with `--warehouse s3://…` and `--catalog-prop allow-unsafe-commits=true`", "not always: see below", "versitygw; stores without conditional writes, in the program", []string{"interop.TestHadoopInS3", "catalog.TestSuiteOnHadoopInS3", "catalog.TestHadoopInS3Commits", "catalog.TestHadoopInS3Races"}},
	{"glue", "none: `--catalog-prop type=glue`; in `icewright-full`", "the version of the table that an update names", "moto's Glue and S3, one process at a time: it lets racing commits pass; read by PyIceberg; errors by their codes", []string{"interop.TestGlue", "interop.TestGlueSuite", "catalog.TestGlueErrors"}},
	{"hive", "`thrift://host:9083`, several with commas between; in `icewright-full`", "the table's lock, and the metadata that an alteration expects", "Hive 4.0's standalone metastore on Derby, without locks; locks and lost answers with a metastore in the tests", []string{"interop.TestHiveSuite", "interop.TestHive", "catalog.TestSuiteOnHive", "catalog.TestHiveLosesAnswers", "catalog.TestHiveLocksOfOthers"}},
}

func TestDocsKinds(t *testing.T) {
	var rows [][]string
	var proofs []string
	for _, k := range kinds {
		tests := ""
		for i, name := range k.tests {
			if i > 0 {
				tests += ", "
			}
			tests += "`" + name + "`"
		}
		proofs = append(proofs, k.tests...)
		rows = append(rows, []string{"`" + k.typ + "`", k.uri, k.atomic, k.against, tests})
	}
	gendoc.Check(t, "docs/catalogs.md", "types", gendoc.Table([]string{"type", "uri", "a commit is atomic by", "tested against", "test"}, rows...))
	gendoc.Proofs(t, proofs...)
}
