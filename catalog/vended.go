package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Keys that a REST catalog vends with a table end, and a load may last longer than they
// do. So the storage of a table has no keys of its own: each request to S3 asks the
// table's vendor for those that are good, and the vendor loads the table again, for its
// keys, before they end. iceberg-go renews what it hands out when a table's IO is asked
// for, which is too seldom for a file that is hours in the writing; it needs an endpoint
// for that which not every server has; and it knows one location of a table only.

// vendedKeys are the properties that a catalog vends keys in, and those of ours that
// vended keys take the place of.
var vendedKeys = []string{iceio.S3AccessKeyID, iceio.S3SecretAccessKey, iceio.S3SessionToken, keyExpiry, s3Anonymous}

// keyExpiry is when vended keys end, in milliseconds since 1970.
const keyExpiry = "s3.session-token-expires-at-ms"

const (
	// vendedMargin is how long before their end keys are renewed, at most half their life.
	vendedMargin = 5 * time.Minute
	// vendedUnknown is when session keys are renewed whose end is not told: AWS gives none
	// for less than a quarter of an hour.
	vendedUnknown = 10 * time.Minute
)

// loadAnswer is what a catalog's answer with a table says about the table's storage.
type loadAnswer struct {
	Config      iceberg.Properties  `json:"config"`
	Credentials []storageCredential `json:"storage-credentials"`

	at time.Time // the server's time of the answer; zero where it tells none
}

// storageCredential are the keys for the files below a prefix.
type storageCredential struct {
	Prefix string             `json:"prefix"`
	Config iceberg.Properties `json:"config"`
}

type loadAnswerKey struct{}

// withLoadAnswer returns a context under which the transport keeps what an answer says
// about storage.
func withLoadAnswer(ctx context.Context) (context.Context, *loadAnswer) {
	a := &loadAnswer{}
	return context.WithValue(ctx, loadAnswerKey{}, a), a
}

// keepLoadAnswer reads an answer's body for the context it was asked under.
func keepLoadAnswer(ctx context.Context, body []byte, date string) {
	a, ok := ctx.Value(loadAnswerKey{}).(*loadAnswer)
	if !ok {
		return
	}
	var got loadAnswer
	if json.Unmarshal(body, &got) == nil {
		got.at, _ = time.Parse(time.RFC1123, date)
		*a = got
	}
}

// vends tells whether the answer holds keys, or asks for requests to be signed.
func (a *loadAnswer) vends() bool {
	has := func(p iceberg.Properties) bool {
		return p[iceio.S3AccessKeyID] != "" || strings.EqualFold(p[iceio.S3RemoteSigningEnabled], "true")
	}
	return has(a.Config) || slices.ContainsFunc(a.Credentials, func(c storageCredential) bool { return has(c.Config) })
}

// vendor keeps the keys of one table.
type vendor struct {
	// base are the storage's properties without keys; own are the client's own keys, for
	// locations that the catalog vends none for.
	base, own iceberg.Properties
	reload    func(context.Context) (*loadAnswer, error)
	now       func() time.Time

	mu      sync.Mutex
	places  []place // the longest prefix first
	renewed time.Time
	clients map[string]*s3.Client
}

// place is a part of storage with the keys for it.
type place struct {
	prefix  string
	props   iceberg.Properties // of the place, without keys
	keys    aws.Credentials
	renewAt time.Time // zero: never
}

// take replaces the keys by those of the answer.
func (v *vendor) take(a *loadAnswer) {
	v.places = nil
	add := func(prefix string, p iceberg.Properties) {
		if p[iceio.S3AccessKeyID] == "" {
			return
		}
		pl := place{prefix: plainS3(prefix), props: maps.Clone(p)}
		for _, k := range vendedKeys {
			delete(pl.props, k)
		}
		pl.keys = aws.Credentials{
			AccessKeyID: p[iceio.S3AccessKeyID], SecretAccessKey: p[iceio.S3SecretAccessKey], SessionToken: p[iceio.S3SessionToken], Source: "the catalog",
		}
		now := v.now()
		if ms, err := strconv.ParseInt(p[keyExpiry], 10, 64); err == nil && ms > 0 {
			end := time.UnixMilli(ms)
			// Where the clocks differ by more than a wire and a rounded second do, it is the
			// server's that the keys go by.
			if skew := a.at.Sub(now); !a.at.IsZero() && skew.Abs() > 5*time.Second {
				end = end.Add(-skew)
			}
			pl.keys.CanExpire, pl.keys.Expires = true, end
			pl.renewAt = end.Add(-min(vendedMargin, max(0, end.Sub(now)/2)))
		} else if pl.keys.SessionToken != "" {
			pl.renewAt = now.Add(vendedUnknown)
		}
		v.places = append(v.places, pl)
	}
	for _, c := range a.Credentials {
		add(c.Prefix, c.Config)
	}
	add("", a.Config)
	slices.SortStableFunc(v.places, func(a, b place) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
}

// plainS3 writes the schemes that mean S3 as one.
func plainS3(location string) string {
	for _, scheme := range []string{"s3a://", "s3n://"} {
		if rest, ok := strings.CutPrefix(location, scheme); ok {
			return "s3://" + rest
		}
	}
	return location
}

func (v *vendor) at(location string) *place {
	location = plainS3(location)
	for i := range v.places {
		if strings.HasPrefix(location, v.places[i].prefix) {
			return &v.places[i]
		}
	}
	return nil
}

// client returns the client for the files at location. All clients of a configuration
// share their connections; what tells those of a vendor apart is whom they ask for keys.
func (v *vendor) client(ctx context.Context, location string) (*s3.Client, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	props := maps.Clone(v.base)
	pl := v.at(location)
	if pl == nil {
		maps.Copy(props, v.own)
		return S3Client(ctx, props)
	}
	maps.Copy(props, pl.props)
	props[s3Anonymous] = "true" // its keys come from the vendor
	base, err := S3Client(ctx, props)
	if err != nil {
		return nil, err
	}
	id := fmt.Sprintf("%s %p", pl.prefix, base)
	if c := v.clients[id]; c != nil {
		return c, nil
	}
	c := s3.New(base.Options(), func(o *s3.Options) {
		keys := &vendedProvider{v, pl.prefix}
		o.Credentials, o.Retryer = keys, withRenewal(o.Retryer, keys)
		o.ExpressCredentials = nil // it would ask the base for keys
	})
	v.clients[id] = c
	return c, nil
}

// vendedProvider gives the SDK the keys for one prefix.
type vendedProvider struct {
	vendor *vendor
	prefix string
}

func (p *vendedProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	return p.vendor.keys(ctx, p.prefix)
}

// renew asks the catalog for other keys than those that the store takes no longer, ahead of
// their end or because nobody told it.
func (p *vendedProvider) renew(ctx context.Context) bool {
	v := p.vendor
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.now().Sub(v.renewed) < keysFresh {
		return true
	}
	old := v.at(p.prefix)
	if old == nil {
		return false
	}
	before := old.keys
	a, err := v.reload(ctx)
	if err != nil || !a.vends() {
		return false
	}
	v.take(a)
	next := v.at(p.prefix)
	if next == nil || next.keys.AccessKeyID == before.AccessKeyID && next.keys.SessionToken == before.SessionToken {
		return false
	}
	v.renewed = v.now()
	return true
}

// keys returns keys that are good now for the files below prefix. The catalog is asked
// for new ones before the old ones end; if it does not answer then, the old ones do
// until they end.
func (v *vendor) keys(ctx context.Context, prefix string) (aws.Credentials, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	pl := v.at(prefix)
	if pl != nil && (pl.renewAt.IsZero() || v.now().Before(pl.renewAt)) {
		return pl.keys, nil
	}
	a, err := v.reload(ctx)
	if err == nil {
		if !a.vends() {
			err = errors.New("the catalog vends no keys any more")
		} else {
			v.take(a)
			if pl = v.at(prefix); pl != nil {
				return pl.keys, nil
			}
			err = fmt.Errorf("the catalog vends no keys for %s any more", prefix)
		}
	}
	if pl != nil && (!pl.keys.CanExpire || v.now().Before(pl.keys.Expires)) {
		pl.renewAt = v.now().Add(min(time.Minute, max(0, pl.keys.Expires.Sub(v.now())/4)))
		return pl.keys, nil
	}
	return aws.Credentials{}, fmt.Errorf("new keys from the catalog: %w", err)
}

// storage returns t with the storage that the catalog's answer a describes: t itself
// where nothing is vended. The vendor is kept for as long as the catalog is open, so
// that each load of a table renews the keys of all who use it.
func (c *Catalog) storage(t *table.Table, a *loadAnswer) *table.Table {
	if c.rest == nil || a == nil || !a.vends() || !strings.HasPrefix(plainS3(t.Location()), "s3://") {
		return t
	}
	c.rest.mu.Lock()
	defer c.rest.mu.Unlock()
	props := maps.Clone(c.rest.defaults)
	if props == nil {
		props = iceberg.Properties{}
	}
	for _, p := range []iceberg.Properties{c.Props, c.rest.overrides, t.Properties(), a.Config} {
		maps.Copy(props, p)
	}
	own := iceberg.Properties{}
	for _, k := range vendedKeys {
		delete(props, k)
		if v := c.Props[k]; v != "" {
			own[k] = v
		}
	}
	var open func(context.Context) (iceio.IO, error)
	if c.rest.noVended {
		delete(props, iceio.S3RemoteSigningEnabled)
		maps.Copy(props, own)
		open = func(ctx context.Context) (iceio.IO, error) { return openS3(ctx, nil, props) }
	} else {
		for _, k := range []string{iceio.S3AccessKeyID, iceio.S3SecretAccessKey, iceio.S3SessionToken} {
			delete(props, "client."+strings.TrimPrefix(k, "s3."))
			if v := s3Prop(c.Props, k); v != "" {
				own[k] = v
			}
		}
		v := c.vendorOf(t.Identifier())
		v.mu.Lock()
		v.base, v.own = props, own
		v.take(a)
		v.mu.Unlock()
		open = func(ctx context.Context) (iceio.IO, error) { return newS3IO(ctx, nil, v), nil }
	}
	return table.New(t.Identifier(), t.Metadata(), t.MetadataLocation(), open, c.Catalog.(table.CatalogIO))
}

func (c *Catalog) vendorOf(ident table.Identifier) *vendor {
	name := FormatIdentifier(ident)
	if v := c.rest.vendors[name]; v != nil {
		return v
	}
	v := &vendor{now: time.Now, clients: map[string]*s3.Client{}, reload: func(ctx context.Context) (*loadAnswer, error) {
		ctx, a := withLoadAnswer(ctx)
		return a, c.call(ctx, func(ctx context.Context) error {
			_, err := c.Catalog.LoadTable(ctx, ident)
			return err
		})
	}}
	c.rest.vendors[name] = v
	return v
}
