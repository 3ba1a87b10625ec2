package catalog

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Redacted stands where a secret was.
const Redacted = "(secret)"

// secretWords mark the names of secret properties, whoever invented them: PyIceberg,
// Java, iceberg-go, a server. A word matches a whole part of the name, between dots,
// dashes and underscores.
var secretWords = []string{
	"token", "secret", "password", "passwd", "pwd", "credential", "credentials", "authorization", "cookie",
	"jsonkey", "apikey", "private", "connection-string", "account-key", "api-key", "auth-key",
	"secret-access-key", "shared-key", "sse-key",
}

// openWords are names with such a word in them that hold no secret.
var openWords = []string{
	"token-expires-in-ms", "token-expires-at", "token-expires-at-ms", "session-token-expires-at-ms", "token-refresh-enabled", "token-exchange-enabled",
	"token-url", "account-name", "credential-provider", "credentials-provider", "credential-vending",
}

// IsSecret tells whether the value of the catalog property key must never be shown.
func IsSecret(key string) bool {
	k := strings.ReplaceAll(strings.ToLower(key), "_", "-")
	if strings.HasPrefix(k, tokenTypePrefix) {
		return true
	}
	for _, w := range openWords {
		if strings.Contains(k, w) && !strings.HasSuffix(k, "account.key") {
			return false
		}
	}
	parts := "-" + strings.NewReplacer(".", "-", ":", "-").Replace(k) + "-"
	return strings.HasSuffix(k, "account.key") || slices.ContainsFunc(secretWords, func(w string) bool {
		return strings.Contains(parts, "-"+w+"-")
	})
}

// Redact returns the value of a property as it may be shown: nothing of a secret, and
// of a URI all but the password in it.
func Redact(key, value string) string {
	if value == "" {
		return ""
	}
	if IsSecret(key) {
		return Redacted
	}
	return RedactURI(value)
}

// userinfo finds the password of a URI, in what need not be a valid one; of several @
// the last one of the authority ends it, as it does for drivers.
var (
	userinfo    = regexp.MustCompile(`(?i)^((?:[a-z][a-z0-9+.-]*:)?//[^/?#:@]*:)([^/?#]*)(@[^/?#]*)`)
	secretParam = regexp.MustCompile(`(?i)([?&;])([^=&;]+)=([^&;#]*)`)
)

// RedactURI returns uri without the password in it, and without secret parameters
// behind it. What is no URI is returned as it is.
func RedactURI(uri string) string {
	if !strings.Contains(uri, "//") {
		return uri
	}
	uri = userinfo.ReplaceAllString(uri, "${1}"+Redacted+"$3")
	return secretParam.ReplaceAllStringFunc(uri, func(p string) string {
		m := secretParam.FindStringSubmatch(p)
		if IsSecret(m[2]) {
			return m[1] + m[2] + "=" + Redacted
		}
		return p
	})
}

var (
	yamlKey = regexp.MustCompile(`([A-Za-z0-9_.:-]+)["']?[ \t]*:[ \t]+`)
	yamlURI = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"']+`)
)

// redactYAML takes the secrets out of some lines of a configuration file, which an
// error shows: the rest of a line with a secret's name.
func redactYAML(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		for _, m := range yamlKey.FindAllStringSubmatchIndex(line, -1) {
			if IsSecret(line[m[2]:m[3]]) {
				lines[i] = line[:m[1]] + Redacted
				break
			}
		}
	}
	return yamlURI.ReplaceAllStringFunc(strings.Join(lines, "\n"), RedactURI)
}

// secretsOf are the secret texts in props, the longest first: also the parts that
// travel alone, such as the secret behind the id of a credential.
func secretsOf(props map[string]string) []string {
	var found []string
	add := func(s string) {
		if len(s) >= 4 { // shorter ones would tear texts to pieces
			found = append(found, s)
		}
	}
	for k, v := range props {
		if IsSecret(k) {
			add(v)
			if _, secret, ok := strings.Cut(v, ":"); ok {
				add(secret)
			}
		} else if m := userinfo.FindStringSubmatch(v); m != nil {
			add(m[2])
			if plain, err := url.PathUnescape(m[2]); err == nil {
				add(plain)
			}
		}
	}
	slices.SortFunc(found, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return slices.Compact(found)
}

// scrub takes secrets out of a text that somebody else wrote, such as a server that
// repeats in its error what it was sent.
func scrub(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, Redacted)
		if q := url.QueryEscape(s); q != s {
			text = strings.ReplaceAll(text, q, Redacted)
		}
	}
	return text
}
