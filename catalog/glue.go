//go:build full

package catalog

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go"
	iceglue "github.com/apache/iceberg-go/catalog/glue"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go/middleware"
)

func init() { heavy = append(heavy, opener{typeGlue, nil, openGlue}) }

// openGlue opens the AWS Glue Data Catalog. Region, keys and endpoint are those of glue.…, or of client.…,
// or of the usual AWS environment. Tables go below the warehouse, or below their database's location.
func openGlue(ctx context.Context, _ string, props iceberg.Properties, _ Config) (*Catalog, error) {
	get := func(key string) string { return orElse(props["glue."+key], props["client."+key]) }
	var opts []func(*config.LoadOptions) error
	if v := get("region"); v != "" {
		opts = append(opts, config.WithRegion(v))
	}
	if v := get("profile-name"); v != "" {
		opts = append(opts, config.WithSharedConfigProfile(v))
	}
	id, secret := get("access-key-id"), get("secret-access-key")
	if (id == "") != (secret == "") {
		return nil, &ConfigError{
			What: "glue.access-key-id and glue.secret-access-key go together, and only one of them is given",
			Do:   "give both, or neither to take the usual AWS credentials",
		}
	}
	if id != "" {
		opts = append(opts, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(id, secret, get("session-token"))))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, &ConfigError{What: "Glue's credentials and region", Err: err}
	}
	if cfg.Region == "" {
		return nil, &ConfigError{What: "no region for Glue", Do: "say --catalog-prop glue.region=… or set AWS_REGION"}
	}
	if v := props["glue.endpoint"]; v != "" {
		cfg.BaseEndpoint = aws.String(v)
	}
	// A commit that is sent again behind our back may find that the first one went in, and call that a
	// conflict. Then its metadata would be removed. Whoever publishes sends it again, and looks first.
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		if stack.ID() != "UpdateTable" {
			return nil
		}
		_, err := stack.Finalize.Remove("Retry")
		return err
	})
	lib := libraryProps(props)
	cat, err := iceglue.NewCatalog(iceglue.WithAwsConfig(cfg), iceglue.WithAwsProperties(iceglue.AwsProperties(lib)))
	if err != nil {
		return nil, &ConfigError{What: fmt.Sprintf("cannot open Glue in %s", cfg.Region), Err: err}
	}
	return &Catalog{Catalog: cat, Props: lib, close: cat.Close}, nil
}
