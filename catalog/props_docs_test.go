package catalog_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/gendoc"
)

// proofs name the test that each property is seen at work in.
var proofs = map[string]string{
	"type":      "catalog.TestCatalogsByName",
	"uri":       "catalog.TestWhoSaysWhichCatalog",
	"warehouse": "catalog.TestCatalogsByName",

	"s3.endpoint":                 "catalog.TestS3Configuration",
	"s3.region":                   "catalog.TestS3Configuration",
	"s3.access-key-id":            "catalog.TestS3WhoAsks",
	"s3.secret-access-key":        "catalog.TestS3WhoAsks",
	"s3.session-token":            "catalog.TestS3WhoAsks",
	"s3.profile-name":             "catalog.TestS3WhoAsks",
	"s3.role-arn":                 "catalog.TestS3WhoAsks",
	"s3.role-session-name":        "catalog.TestS3WhoAsks",
	"s3.anonymous":                "catalog.TestS3WhoAsks",
	"s3.path-style-access":        "catalog.TestS3Configuration",
	"s3.force-virtual-addressing": "catalog.TestS3Configuration",
	"s3.proxy-uri":                "catalog.TestS3WhoAsks",
	"s3.connect-timeout":          "catalog.TestS3WhoAsks",
	"s3.request-timeout":          "catalog.TestS3WhoAsks",

	"credential":                        "catalog.TestRESTRequestsCarryTheConfiguration",
	"token":                             "catalog.TestRESTStaticToken",
	"oauth2-server-uri":                 "catalog.TestRESTRequestsCarryTheConfiguration",
	"scope":                             "catalog.TestRESTRequestsCarryTheConfiguration",
	"prefix":                            "catalog.TestRESTRequestsCarryTheConfiguration",
	"header.":                           "catalog.TestRESTRequestsCarryTheConfiguration",
	"rest.tls.skip-verify":              "catalog.TestRESTOpenErrors",
	"rest.client.connection-timeout-ms": "catalog.TestRESTBrokenWires",
	"rest.client.socket-timeout-ms":     "catalog.TestRESTBrokenWires",
}

func TestDocsProperties(t *testing.T) {
	for section, list := range map[string][]catalog.Property{
		"common properties": catalog.CommonProperties, "s3 properties": catalog.S3Properties,
	} {
		var rows [][]string
		for _, p := range list {
			proof := proofs[p.Name]
			if proof == "" {
				t.Errorf("no test shows what %s does", p.Name)
			}
			rows = append(rows, []string{"`" + p.Name + "`", p.Meaning, p.Default, "`" + proof + "`"})
		}
		gendoc.Check(t, "docs/catalogs.md", section, gendoc.Table([]string{"property", "meaning", "default", "test"}, rows...))
	}
	gendoc.Proofs(t, slices.Sorted(maps.Values(proofs))...)
}
