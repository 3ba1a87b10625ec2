package catalog

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/apache/iceberg-go"
)

// restTLS reads whom a REST catalog's client trusts and who it says it is; nil for the
// system's authorities and nobody. The names are PyIceberg's. The certificate of the
// client is read anew for every connection, so that one that is replaced during a long
// run counts.
func restTLS(props iceberg.Properties) (*tls.Config, error) {
	skipVerify, err := boolProp(props, "rest.tls.skip-verify")
	if err != nil {
		return nil, err
	}
	bundle, cert, key := props["ssl.cabundle"], props["ssl.client.cert"], props["ssl.client.key"]
	if !skipVerify && bundle == "" && cert == "" && key == "" {
		return nil, nil
	}
	conf := &tls.Config{InsecureSkipVerify: skipVerify, MinVersion: tls.VersionTLS12} //nolint:gosec // the user asked for it
	if bundle != "" {
		pem, err := os.ReadFile(bundle)
		if err != nil {
			return nil, &ConfigError{What: "ssl.cabundle", Err: err}
		}
		if conf.RootCAs, err = x509.SystemCertPool(); err != nil {
			conf.RootCAs = x509.NewCertPool()
		}
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &ConfigError{What: fmt.Sprintf("ssl.cabundle: %s holds no certificate", bundle), Do: "name a file of certificates in PEM"}
		}
	}
	switch {
	case cert == "" && key != "":
		return nil, &ConfigError{What: "ssl.client.key is given without ssl.client.cert", Do: "give both, or a file with both as ssl.client.cert"}
	case cert != "":
		if key == "" {
			key = cert
		}
		read := func() (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				return nil, &ConfigError{What: fmt.Sprintf("ssl.client.cert %s with key %s", cert, key), Err: err, Do: "name files in PEM: a certificate and the key that goes with it"}
			}
			return &c, nil
		}
		if _, err := read(); err != nil {
			return nil, err
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return read() }
	}
	return conf, nil
}
