package catalog

import (
	"maps"
	"slices"
)

// Setting is one property of a catalog's configuration, as it may be shown to people.
type Setting struct {
	// Key is the property's name; "catalog" is the catalog's own name.
	Key string
	// Value is without its secrets: Redacted, or a URI without its password.
	Value string
	// Origin is where the value was said: a flag, a variable, a file with its line, or
	// "the built-in default".
	Origin string
}

// environmentKeys are the properties that have a variable of AWS's beside them, which
// holds where the configuration says nothing.
var environmentKeys = []struct {
	key       string
	variables []string
}{
	{"s3.endpoint", endpointEnv},
	{"s3.region", []string{"AWS_REGION", "AWS_DEFAULT_REGION"}},
	{"s3.access-key-id", []string{"AWS_ACCESS_KEY_ID"}},
	{"s3.secret-access-key", []string{"AWS_SECRET_ACCESS_KEY"}},
	{"s3.session-token", []string{"AWS_SESSION_TOKEN"}},
	{"s3.profile-name", []string{"AWS_PROFILE"}},
	{"s3.role-arn", []string{"AWS_ROLE_ARN"}},
}

// Explain tells which catalog c means and where each property comes from: the
// catalog's name first, then the properties by name, those of the AWS_* environment
// included. Nothing is opened. Errors wrap ErrConfig.
func (c Config) Explain() ([]Setting, error) {
	r, err := c.resolve()
	if err != nil {
		return nil, err
	}
	if err := r.check(nil); err != nil {
		return nil, err
	}
	o, err := openerFor(r)
	if err != nil {
		return nil, err
	}
	out := []Setting{{"catalog", r.name.value, r.name.origin}}
	for _, e := range environmentKeys {
		if s3Prop(r.props, e.key) != "" {
			continue
		}
		for _, v := range e.variables {
			if text := c.getenv(v); text != "" {
				r.props[e.key], r.from[e.key] = text, v
				break
			}
		}
	}
	if r.props["type"] == "" {
		r.props["type"], r.from["type"] = o.name, "the uri"
	}
	for _, k := range slices.Sorted(maps.Keys(r.props)) {
		out = append(out, Setting{k, Redact(k, r.props[k]), r.from[k]})
	}
	return out, nil
}
