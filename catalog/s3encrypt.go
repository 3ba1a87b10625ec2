package catalog

import (
	"context"
	"crypto/md5" //nolint:gosec // what S3 wants of a customer's key
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
)

// sseTypes are Java's words for how the store is asked to encrypt, the default first.
var sseTypes = []string{"none", "s3", "kms", "dsse-kms", "custom"}

// s3Encryption returns what makes every request of a client ask for the encryption that the
// properties name; nil for none: then the bucket's own holds. It works on requests, not at the
// places that send them, so that none is forgotten: data files, manifests, metadata, parts.
// Source: the S3 chapter of Iceberg's documentation on AWS.
func s3Encryption(get func(string) string, plainHTTP bool) (func(*middleware.Stack) error, error) {
	kind, key, sum := strings.ToLower(get(s3SSEType)), get(s3SSEKey), get(s3SSEMD5)
	wrong := func(what, do string) error { return &ConfigError{What: what, Do: do} }
	var algorithm types.ServerSideEncryption
	switch kind {
	case "", "none":
		if key != "" {
			return nil, wrong(s3SSEKey+" is given without "+s3SSEType, "say kms, dsse-kms or custom")
		}
		return nil, nil
	case "s3":
		if key != "" {
			return nil, wrong(s3SSEKey+" is given, and with "+s3SSEType+" s3 the key is the store's", "leave it out, or say kms")
		}
		algorithm = types.ServerSideEncryptionAes256
	case "kms":
		algorithm = types.ServerSideEncryptionAwsKms
	case "dsse-kms":
		algorithm = types.ServerSideEncryptionAwsKmsDsse
	case "custom":
		raw, err := base64.StdEncoding.DecodeString(key)
		if err != nil || len(raw) != 32 {
			return nil, wrong(s3SSEKey+" is no key of 256 bits in base64", "make one with: openssl rand -base64 32")
		}
		md := md5.Sum(raw) //nolint:gosec // a checksum
		if own := base64.StdEncoding.EncodeToString(md[:]); sum == "" {
			sum = own
		} else if sum != own {
			return nil, wrong(s3SSEMD5+" is not the MD5 of "+s3SSEKey, "leave it out: it is computed")
		}
		if plainHTTP {
			return nil, wrong(s3SSEType+" custom sends the key with each request, and the endpoint is http://", "use https://")
		}
	default:
		return nil, wrong(fmt.Sprintf("%s is %q", s3SSEType, kind), "say one of "+strings.Join(sseTypes, ", "))
	}
	var keyID, custom, customKey, customSum *string
	switch {
	case kind == "custom":
		custom, customKey, customSum = aws.String("AES256"), &key, &sum
	case key != "":
		keyID = &key
	}
	ask := func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		switch p := in.Parameters.(type) {
		case *s3.PutObjectInput:
			p.ServerSideEncryption, p.SSEKMSKeyId = algorithm, keyID
			p.SSECustomerAlgorithm, p.SSECustomerKey, p.SSECustomerKeyMD5 = custom, customKey, customSum
		case *s3.CreateMultipartUploadInput:
			p.ServerSideEncryption, p.SSEKMSKeyId = algorithm, keyID
			p.SSECustomerAlgorithm, p.SSECustomerKey, p.SSECustomerKeyMD5 = custom, customKey, customSum
		case *s3.UploadPartInput:
			p.SSECustomerAlgorithm, p.SSECustomerKey, p.SSECustomerKeyMD5 = custom, customKey, customSum
		case *s3.GetObjectInput:
			p.SSECustomerAlgorithm, p.SSECustomerKey, p.SSECustomerKeyMD5 = custom, customKey, customSum
		case *s3.HeadObjectInput:
			p.SSECustomerAlgorithm, p.SSECustomerKey, p.SSECustomerKeyMD5 = custom, customKey, customSum
		}
		return next.HandleInitialize(ctx, in)
	}
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("icewright.encrypt", ask), middleware.Before)
	}, nil
}
