package catalog

import (
	"slices"
	"strings"
)

// pyicebergPrefix begins the variables that PyIceberg reads, in any case.
const pyicebergPrefix = "pyiceberg_"

// environment is what PyIceberg's variables say. PYICEBERG_CATALOG__PROD__S3__ENDPOINT
// is the property s3.endpoint of the catalog prod: two underscores part the words
// catalog, name and property, further ones are dots, and single ones are dashes; all is
// in lower case. So no variable reaches a catalog whose name has an underscore.
// Source: py.iceberg.apache.org/configuration.
type environment struct {
	defaultCatalog setting
	catalogs       map[string]settings
}

func readEnvironment(environ []string) environment {
	env := environment{catalogs: map[string]settings{}}
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(kv, "=")
		key, ok := strings.CutPrefix(strings.ToLower(name), pyicebergPrefix)
		if !ok {
			continue
		}
		parts := strings.SplitN(key, "__", 3)
		for i, p := range parts {
			parts[i] = strings.ReplaceAll(strings.ReplaceAll(p, "__", "."), "_", "-")
		}
		switch {
		case len(parts) == 1 && parts[0] == "default-catalog":
			env.defaultCatalog = setting{value, name}
		case len(parts) == 3 && parts[0] == "catalog":
			if env.catalogs[parts[1]] == nil {
				env.catalogs[parts[1]] = settings{}
			}
			env.catalogs[parts[1]][parts[2]] = setting{value, name}
		}
	}
	return env
}

func (e environment) find(name string) (settings, bool) {
	s, ok := e.catalogs[strings.ToLower(name)]
	return s, ok
}
