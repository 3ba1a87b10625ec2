package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/icewright/icewright/nearest"
)

// Property is a property of a catalog's configuration that this package heeds.
type Property struct {
	// Name is the property's, in the spelling of PyIceberg or, where it has none, of
	// Java or iceberg-go. A name that ends in a dot stands for all that begin so.
	Name string
	// Meaning is what it does, for docs/catalogs.md.
	Meaning string
	// Default is what holds without it.
	Default string
}

// renamed are properties that mean the same as another one.
var renamed = map[string]string{
	"aws-profile":            "client.profile-name", // iceberg-go's file
	"rest.authorization-url": "oauth2-server-uri",   // iceberg-go
	"s3.client.region":       "client.region",
	"s3.sse-kms-key-id":      s3SSEKey, // S3's own words, as some clients have them
}

// sseWords are S3's words for kinds of encryption, which some clients take in the property
// s3.server-side-encryption, and ours.
var sseWords = map[string]string{"aes256": "s3", "aws:kms": "kms", "aws:kms:dsse": "dsse-kms"}

// otherwise are properties of other clients that mean nothing here, and are no slips.
var otherwise = []string{
	"py-io-impl", "io-impl", "downcast-ns-timestamp-to-us-on-write", "output", "max-workers", "echo", "pool_pre_ping", "pool-pre-ping",
	"init_catalog_tables", "init-catalog-tables", "s3.resolve-region", "s3.retry-strategy-impl", "s3.signer.uri", "s3.signer.endpoint",
	"rest.sigv4.max-retries", "glue.max-retries", "glue.retry-mode", "glue.skip-name-validation", "rest-metrics-reporting-enabled", "view-endpoints-supported", "snapshot-loading-mode",
	"namespace-separator", "metrics-reporter-impl", "clients", "cache-enabled", "scan-planning-mode", "rest-page-size", "token-exchange-enabled", "hive.hive2-compatible", "hive.kerberos-service-name", "lock-check-min-wait-time", "lock-check-max-wait-time", "lock-check-retries",
	"rest.auth.type", "rest.auth.basic.username", "rest.auth.basic.password", tokenTypePrefix,
}

// unsupported are properties that cannot be heeded and cannot be passed over, with
// what to do instead. A value of "" or "false" asks for nothing.
var unsupported = []struct{ key, do string }{
	{"py-catalog-impl", "set type to the kind of server that it talks to"},
	{"catalog-impl", "set type to the kind of server that it talks to"},
	{"s3.signer", "let the catalog vend credentials instead of signing requests"},
	{"s3.remote-signing-enabled", "let the catalog vend credentials instead of signing requests"},
	{"hive.kerberos-authentication", "a metastore that wants Kerberos cannot be talked to yet: reach the tables over a REST catalog"},
	{"hive.metastore.sasl.enabled", "a metastore that wants SASL cannot be talked to yet: reach the tables over a REST catalog"},
	{"hive.metastore.use.SSL", "a metastore that wants TLS cannot be talked to yet: put a proxy that speaks TLS beside this program"},
}

// elsewhere are the beginnings of properties for storage that this program cannot use.
// A configuration that many programs share may have them and still be good, so that
// they are noted; a table that lies there cannot be opened, and says so.
var elsewhere = map[string]string{
	"adls.": "Azure storage", "gcs.": "Google Cloud Storage", "hdfs.": "HDFS", "hf.": "Hugging Face", "oss.": "Alibaba OSS",
}

// checked are the beginnings of the properties whose names are looked at for slips: all
// that this package reads there is known.
var checked = []string{"s3.", "client.", "rest.", "ssl.", "oauth2", "allow-", "glue.", "hive.", "iceberg."}

// check turns r's properties into ours. It warns of what is not heeded, and refuses
// what cannot be.
func (r *resolved) check(warn func(string)) error {
	if warn == nil {
		warn = func(string) {}
	}
	for _, u := range unsupported {
		if v := r.props[u.key]; v != "" && !strings.EqualFold(v, "false") {
			return &ConfigError{Where: r.from[u.key], What: u.key + " is not supported", Do: u.do}
		}
	}
	for old, name := range renamed {
		if v, ok := r.props[old]; ok {
			if r.props[name] == "" {
				r.props[name], r.from[name] = v, r.from[old]
			}
			delete(r.props, old)
			delete(r.from, old)
		}
	}
	if word, ok := r.props["s3.server-side-encryption"]; ok {
		if r.props[s3SSEType] == "" {
			r.props[s3SSEType], r.from[s3SSEType] = orElse(sseWords[strings.ToLower(word)], word), r.from["s3.server-side-encryption"]
		}
		delete(r.props, "s3.server-side-encryption")
		delete(r.from, "s3.server-side-encryption")
	}
	known := knownNames()
	told := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(r.props)) {
		for prefix, what := range elsewhere {
			if strings.HasPrefix(key, prefix) && !told[prefix] {
				told[prefix] = true
				warn(fmt.Sprintf("%s: %s* is not used: files are stored in S3 or on a local disk, not in %s", r.from[key], prefix, what))
			}
		}
		if isKnown(key, known) || !slices.ContainsFunc(checked, func(p string) bool { return strings.HasPrefix(key, p) }) {
			continue
		}
		if near := nearest.Name(key, known); near != "" {
			warn(fmt.Sprintf("%s: property %s is not known; did you mean %s?", r.from[key], key, near))
		}
	}
	return nil
}

// CheckS3Properties refuses properties that are none of S3Properties. Errors wrap ErrConfig.
func CheckS3Properties(props map[string]string) error {
	var known []string
	for _, p := range S3Properties {
		known = append(known, p.Name)
	}
	for _, key := range slices.Sorted(maps.Keys(props)) {
		if slices.Contains(known, key) {
			continue
		}
		do := "docs/s3.md has them all"
		if near := nearest.Name(key, known); near != "" {
			do = "did you mean " + near + "? " + do
		}
		return &ConfigError{What: "there is no property " + key, Do: do}
	}
	return nil
}

func knownNames() []string {
	var names []string
	for _, list := range [][]Property{CommonProperties, RESTProperties, HadoopProperties, GlueProperties, HiveProperties, S3Properties} {
		for _, p := range list {
			names = append(names, p.Name)
			if name, ok := strings.CutPrefix(p.Name, "s3."); ok {
				names = append(names, "client."+name)
			}
		}
	}
	for _, u := range unsupported {
		names = append(names, u.key)
	}
	return append(names, otherwise...)
}

func isKnown(key string, known []string) bool {
	return slices.ContainsFunc(known, func(k string) bool {
		return key == k || strings.HasSuffix(k, ".") && strings.HasPrefix(key, k)
	})
}

// CommonProperties are those of every catalog.
var CommonProperties = []Property{
	{"type", "what kind of catalog it is", "told from the uri"},
	{"uri", "where the catalog is", "`lake/catalog.db`"},
	{"warehouse", "where new tables go; for REST the server's name for a warehouse", "`lake/warehouse`; the server's"},
}

// HadoopProperties are those of Hadoop catalogs.
var HadoopProperties = []Property{
	{propUnsafe, "`true` lets the catalog be in S3, where commits can get lost", "`false`"},
}

// GlueProperties are those of the Glue Data Catalog.
var GlueProperties = []Property{
	{"glue.region", "region of the Data Catalog", "`client.region`, then the usual AWS environment"},
	{"glue.endpoint", "URL of the service", "AWS's"},
	{"glue.access-key-id", "id of the key", "`client.access-key-id`, then the usual AWS chain"},
	{"glue.secret-access-key", "the key", "the same"},
	{"glue.session-token", "token of a temporary key", "the same"},
	{"glue.profile-name", "profile of `~/.aws` to take keys and region from", "`client.profile-name`, then `AWS_PROFILE`"},
	{"glue.id", "id of the Data Catalog, such as another account's", "the account's own"},
	{"glue.skip-archive", "`false` has Glue keep a version of the table for each commit", "`true`"},
}

// S3Properties are those of storage in S3. For each of them but s3.endpoint and the
// ways to address a bucket, client.… says the same for S3 and for the signing of REST
// requests, and s3.… is stronger.
var S3Properties = []Property{
	{"s3.endpoint", "URL of the store", "`AWS_ENDPOINT_URL_S3`, `AWS_S3_ENDPOINT`, `AWS_ENDPOINT_URL`, then AWS"},
	{"s3.region", "region of the bucket", "`AWS_REGION`, the profile's, then us-east-1"},
	{"s3.access-key-id", "id of the key", "the usual AWS chain"},
	{"s3.secret-access-key", "the key", "the usual AWS chain"},
	{"s3.session-token", "token of temporary keys", "none"},
	{"s3.profile-name", "profile of `~/.aws` to take keys and region from", "`AWS_PROFILE`"},
	{"s3.role-arn", "role to assume", "none"},
	{"s3.role-session-name", "name of the session of that role", "the SDK's"},
	{"s3.anonymous", "`true` signs nothing, for public buckets", "`false`"},
	{"s3.path-style-access", "`true` puts the bucket into the path, `false` into the host name", "`true` where an endpoint is given that is not of AWS, Alibaba or Tencent"},
	{"s3.force-virtual-addressing", "the same, the other way round, in PyIceberg's words", ""},
	{"s3.proxy-uri", "proxy of requests to S3", "`HTTPS_PROXY`"},
	{s3CABundle, "file of authorities, in PEM, that are trusted beside the system's", "`AWS_CA_BUNDLE`"},
	{s3SkipVerify, "`true` takes any certificate", "`false`"},
	{"s3.connect-timeout", "how long a connection may take, in seconds", "`10`"},
	{"s3.request-timeout", "how long the store may think before it answers, and a connection stand still in the middle of a body, in seconds", "`60`"},
	{s3Retries, "how often a request is sent again that failed for a reason that passes: 5xx, SlowDown, a broken or silent connection", "`AWS_MAX_ATTEMPTS` less one, then `9`"},
	{s3RetryMinWait, "the first wait, in milliseconds; each is twice the one before, the half of it by chance", "`200`"},
	{s3RetryMaxWait, "the longest wait, in milliseconds", "`20000`"},
	{s3Checksums, "`true` sends and checks S3's newer checksums (CRC32 and the like), which many compatible stores refuse; `false` does not, whatever AWS's variables say", "`AWS_REQUEST_CHECKSUM_CALCULATION` and `AWS_RESPONSE_CHECKSUM_VALIDATION`, then `false`"},
	{s3SSEType, "how the store is to encrypt what is written: `none` (the bucket's default), `s3` (AES256), `kms`, `dsse-kms`, `custom` (a key of yours, needed to read, too; https only). `s3.server-side-encryption=AES256` and the like mean the same", "`none`"},
	{s3SSEKey, "for `kms` the key's id or ARN (also `s3.sse-kms-key-id`), for `custom` 256 bits in base64", "the account's own KMS key"},
	{s3SSEMD5, "for `custom` the key's MD5 in base64", "computed"},
}

// RESTProperties are those of REST catalogs.
var RESTProperties = []Property{
	{"credential", "`ID:SECRET`, or `SECRET`, to get tokens with (OAuth2 grant `client_credentials`)", "none"},
	{"token", "bearer token; with a credential beside it, it is used until it ends", "none"},
	{"token-expires-in-ms", "when the token ends, in milliseconds from now", "what the token says, if it is a JWT"},
	{"token-refresh-enabled", "`false` does not exchange a given token for a new one before it ends", "`true`"},
	{tokenTypePrefix + "jwt", "token of another party that is exchanged for the catalog's (grant `token-exchange`); also `access_token`, `id_token`, `saml1`, `saml2`", "none"},
	{"oauth2-server-uri", "where tokens are got", "the server's, or `v1/oauth/tokens` of the catalog"},
	{"scope", "scope of tokens", "`catalog`"},
	{"audience", "audience of tokens", "none"},
	{"resource", "resource that tokens are for", "none"},
	{"auth.type", "`noop`, `basic`, `oauth2`, `legacyoauth2`; Java's `rest.auth.type` too, which also knows `none` and `sigv4`", "told from the other properties"},
	{"auth.basic.", "`auth.basic.username` and `auth.basic.password`", "none"},
	{"auth.oauth2.", "`client_id`, `client_secret`, `token_url`, `scope`, `expires_in` (in seconds, where the server tells none)", "none"},
	{"header.", "`header.X-Team=loads` sends the header with every request", "none"},
	{"prefix", "part of the path between `v1/` and the rest", "the server's"},
	{"rest.sigv4-enabled", "`true` signs requests as AWS does", "`false`"},
	{"rest.signing-region", "region in the signature", "`client.region`, then the AWS region"},
	{"rest.signing-name", "service in the signature", "`execute-api`"},
	{"rest.access-key-id", "id of the key that signs", "`client.access-key-id`, then the usual AWS chain"},
	{"rest.secret-access-key", "the key", "the same"},
	{"rest.session-token", "token of a temporary key", "none"},
	{"ssl.cabundle", "file of authorities, in PEM, that are trusted beside the system's", "the system's"},
	{"ssl.client.cert", "file of the client's own certificate, in PEM; read anew for each connection", "none"},
	{"ssl.client.key", "file of its key", "in the file of the certificate"},
	{"rest.tls.skip-verify", "`true` takes any certificate", "`false`"},
	{"rest.client.connection-timeout-ms", "how long a connection may take, in milliseconds", "`10000`"},
	{"rest.client.socket-timeout-ms", "how long the server may think before it answers, in milliseconds", "`60000`"},
}

// HiveProperties are those of Hive Metastores, in the spelling of Java's Iceberg and of PyIceberg.
var HiveProperties = []Property{
	{"ugi", "`USER` or `USER:GROUP`, as whom the metastore is to act", "the metastore's own user"},
	{"hive.metastore.client.socket.timeout", "how long the metastore may think before it answers, in seconds", "`60`"},
	{"iceberg.hive.lock-timeout-ms", "how long a commit waits for the lock of its table before it counts as lost, in milliseconds", "`60000`"},
	{"iceberg.hive.lock-check-min-wait-ms", "how long it waits before it asks for the lock again, at first", "`50`"},
	{"iceberg.hive.lock-check-max-wait-ms", "and at most", "`1000`"},
	{"iceberg.engine.hive.lock-enabled", "`false` locks no table: for metastores that compare (Hive 4.0, 2.3.10); of one table, its property `engine.hive.lock-enabled` says so", "`true`"},
}
