package catalog_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/gendoc"
)

// proofs name the test that each property is seen at work in.
var proofs = map[string]string{
	"type":      "catalog.TestCatalogsByName",
	"uri":       "catalog.TestWhoSaysWhichCatalog",
	"warehouse": "catalog.TestCatalogsByName",

	"allow-unsafe-commits": "catalog.TestHadoopInS3IsForThoseWhoInsist",

	"glue.region":            "catalog.TestGlueProperties",
	"glue.endpoint":          "interop.TestGlue",
	"glue.access-key-id":     "catalog.TestGlueProperties",
	"glue.secret-access-key": "interop.TestGlue",
	"glue.session-token":     "catalog.TestGlueProperties",
	"glue.profile-name":      "catalog.TestGlueProperties",
	"glue.id":                "catalog.TestGlueProperties",
	"glue.skip-archive":      "catalog.TestGlueProperties",

	"s3.endpoint":                 "catalog.TestS3Configuration",
	"s3.region":                   "catalog.TestS3Configuration",
	"s3.access-key-id":            "catalog.TestS3WhoAsks",
	"s3.secret-access-key":        "catalog.TestS3WhoAsks",
	"s3.session-token":            "catalog.TestS3WhoAsks",
	"s3.profile-name":             "catalog.TestS3WhoAsks",
	"s3.role-arn":                 "catalog.TestS3WhoAsks",
	"s3.role-session-name":        "catalog.TestS3WhoAsks",
	"s3.anonymous":                "catalog.TestS3WhoAsks",
	"s3.path-style-access":        "catalog.TestS3Addressing",
	"s3.force-virtual-addressing": "catalog.TestS3Addressing",
	"s3.proxy-uri":                "catalog.TestS3WhoAsks",
	"s3.connect-timeout":          "catalog.TestS3WhoAsks",
	"s3.request-timeout":          "catalog.TestS3WhoAsks",
	"s3.ssl.cabundle":             "catalog.TestS3Certificates",
	"s3.tls.skip-verify":          "catalog.TestS3Certificates",
	"s3.checksum-enabled":         "catalog.TestS3Checksums",
	"s3.retry.num-retries":        "catalog.TestS3Retries",
	"s3.retry.min-wait-ms":        "catalog.TestS3Retries",
	"s3.retry.max-wait-ms":        "catalog.TestS3Retries",
	"s3.sse.type":                 "catalog.TestS3Encryption",
	"s3.sse.key":                  "catalog.TestS3Encryption",
	"s3.sse.md5":                  "catalog.TestS3Encryption",

	"credential":                           "catalog.TestRESTGrants",
	"token":                                "catalog.TestRESTStaticToken",
	"token-expires-in-ms":                  "catalog.TestRESTGivenTokenIsExchanged",
	"token-refresh-enabled":                "catalog.TestRESTGivenTokenIsExchanged",
	"urn:ietf:params:oauth:token-type:jwt": "catalog.TestRESTGrants",
	"oauth2-server-uri":                    "catalog.TestRESTServerNamesTheTokenEndpoint",
	"scope":                                "catalog.TestRESTGrants",
	"audience":                             "catalog.TestRESTGrants",
	"resource":                             "catalog.TestRESTGrants",
	"auth.type":                            "catalog.TestRESTOtherAuthorisation",
	"auth.basic.":                          "catalog.TestRESTOtherAuthorisation",
	"auth.oauth2.":                         "catalog.TestRESTGrants",
	"header.":                              "catalog.TestRESTRequestsCarryTheConfiguration",
	"prefix":                               "catalog.TestRESTRequestsCarryTheConfiguration",
	"rest.sigv4-enabled":                   "catalog.TestRESTSigV4",
	"rest.signing-region":                  "catalog.TestRESTSigV4",
	"rest.signing-name":                    "catalog.TestRESTSigV4",
	"rest.access-key-id":                   "catalog.TestRESTSigV4",
	"rest.secret-access-key":               "catalog.TestRESTSigV4",
	"rest.session-token":                   "catalog.TestRESTSigV4",
	"ssl.cabundle":                         "catalog.TestRESTCertificates",
	"ssl.client.cert":                      "catalog.TestRESTCertificates",
	"ssl.client.key":                       "catalog.TestRESTCertificates",
	"rest.tls.skip-verify":                 "catalog.TestRESTCertificates",
	"rest.client.connection-timeout-ms":    "catalog.TestRESTOpenErrors",
	"rest.client.socket-timeout-ms":        "catalog.TestRESTBrokenWires",

	"ugi":                                  "catalog.TestHiveThatDoesNotAnswer",
	"hive.metastore.client.socket.timeout": "catalog.TestHiveThatDoesNotAnswer",
	"iceberg.hive.lock-timeout-ms":         "catalog.TestHiveLocksOfOthers",
	"iceberg.hive.lock-check-min-wait-ms":  "catalog.TestHiveProperties",
	"iceberg.hive.lock-check-max-wait-ms":  "catalog.TestHiveProperties",
	"iceberg.engine.hive.lock-enabled":     "catalog.TestSuiteOnHive",
}

func TestDocsProperties(t *testing.T) {
	for section, list := range map[string][]catalog.Property{
		"common properties": catalog.CommonProperties, "s3 properties": catalog.S3Properties,
		"rest properties": catalog.RESTProperties, "hadoop properties": catalog.HadoopProperties,
		"glue properties": catalog.GlueProperties,
		"hive properties": catalog.HiveProperties,
	} {
		var rows [][]string
		for _, p := range list {
			proof := proofs[p.Name]
			if proof == "" {
				t.Errorf("no test shows what %s does", p.Name)
			}
			rows = append(rows, []string{"`" + p.Name + "`", p.Meaning, p.Default, "`" + proof + "`"})
		}
		file := "docs/catalogs.md"
		if section == "s3 properties" {
			file = "docs/s3.md"
		}
		gendoc.Check(t, file, section, gendoc.Table([]string{"property", "meaning", "default", "test"}, rows...))
	}
	gendoc.Proofs(t, slices.Sorted(maps.Values(proofs))...)
	gendoc.Proofs(t, "catalog.TestVendedKeysAreRenewed", "catalog.TestVendedKeysEnd", "catalog.TestVendedKeysThatEndEarly", "catalog.TestVendedKeysByPrefix",
		"catalog.TestNoVendedCredentials", "catalog.TestRemoteSigningIsRefused", "job.TestLoadOutlastsVendedKeys", "job.TestIdempotencyKeys",
		"interop.TestRESTBehindGates", "interop.TestPyIcebergReadsTheSameConfiguration", "interop.TestPyIcebergOpensTheCatalogByName",
		"interop.TestVendedKeysOfARealCatalog", "catalog.TestHiveTableOfAnotherKind")
}

func TestDocsS3Keys(t *testing.T) {
	var rows [][]string
	for _, way := range waysToKeys {
		replaced := "-"
		switch {
		case way.made:
			replaced = "ahead of their end, and when they are refused"
		case strings.HasPrefix(way.name, "profile"):
			replaced = "when they are refused, if the file has others then"
		}
		rows = append(rows, []string{way.name, way.where, replaced, strings.TrimSuffix(way.says, " of "), "`catalog.TestS3KeysFromEverywhere`"})
	}
	gendoc.Check(t, "docs/s3.md", "s3 keys", gendoc.Table([]string{"from", "set", "replaced", "in doctor's words", "test"}, rows...))
	gendoc.Proofs(t, "catalog.TestS3KeysFromEverywhere", "catalog.TestS3ProfileIsReadAnew", "catalog.TestS3WithoutKeys", "catalog.TestS3UploadsAreBounded",
		"catalog.TestS3FailedWritesLeaveNothing", "catalog.TestS3CompletionLosesItsAnswer", "catalog.TestS3Retries", "catalog.TestS3ManyThrottledAtOnce",
		"catalog.TestS3BrokenBodies", "catalog.TestProbeFindsUnfinishedUploads",
		"job.TestLoadFromAPublicBucket",
		"interop.TestS3UploadsThroughFaults", "interop.TestS3KilledUpload", "interop.TestS3Reached", "interop.TestS3EncryptedByMinIO")
}
