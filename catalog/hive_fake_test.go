//go:build full

package catalog_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/apache/thrift/lib/go/thrift"
	hms "github.com/beltran/gohive/hive_metastore"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/catalog/catalogtest"
)

// metastore does what a Hive Metastore does with tables and locks, behind the same generated code. It hangs up
// after, or before, the requests that it is told to.
type metastore struct {
	hms.ThriftHiveMetastore // what is not below is never asked
	uri                     string

	mu        sync.Mutex
	databases map[string]*hms.Database
	tables    map[string]*hms.Table
	queues    map[string][]*hms.ShowLocksResponseElement // the first has the lock
	last      int64

	cut   string // the request to hang up at
	after bool   // once it is carried out
	cuts  atomic.Int32
}

func startMetastore(t *testing.T) *metastore {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	m := &metastore{
		uri:       "thrift://" + l.Addr().String(),
		databases: map[string]*hms.Database{}, tables: map[string]*hms.Table{}, queues: map[string][]*hms.ShowLocksResponseElement{},
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				p := thrift.NewTBinaryProtocolConf(thrift.NewStreamTransportRW(conn), &thrift.TConfiguration{})
				processor := hms.NewThriftHiveMetastoreProcessor(m)
				for {
					name, _, seq, err := p.ReadMessageBegin(context.Background())
					if err != nil {
						return
					}
					process, ok := processor.GetProcessorFunction(name)
					if !ok {
						return
					}
					m.mu.Lock()
					cutting := name == m.cut
					if cutting {
						m.cut = ""
						m.cuts.Add(1)
					}
					m.mu.Unlock()
					if cutting && !m.after {
						return
					}
					out := thrift.TProtocol(p)
					if cutting {
						out = thrift.NewTBinaryProtocolConf(thrift.NewTMemoryBuffer(), &thrift.TConfiguration{})
					}
					if _, err := process.Process(context.Background(), seq, p, out); err != nil && cutting || cutting {
						return
					}
				}
			}()
		}
	}()
	return m
}

func (m *metastore) GetAllDatabases(context.Context) (names []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.databases {
		names = append(names, name)
	}
	return names, nil
}

func (m *metastore) GetDatabase(_ context.Context, name string) (*hms.Database, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if db := m.databases[strings.ToLower(name)]; db != nil {
		return db, nil
	}
	return nil, &hms.NoSuchObjectException{Message: name}
}

func (m *metastore) CreateDatabase(_ context.Context, db *hms.Database) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := strings.ToLower(db.Name)
	if m.databases[name] != nil {
		return &hms.AlreadyExistsException{Message: name}
	}
	db.Name = name
	m.databases[name] = db
	return nil
}

func tableKey(db, name string) string { return strings.ToLower(db + "." + name) }

func (m *metastore) GetTables(_ context.Context, db, _ string) (names []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tables {
		if strings.EqualFold(t.DbName, db) {
			names = append(names, t.TableName)
		}
	}
	return names, nil
}

func (m *metastore) GetTableReq(_ context.Context, req *hms.GetTableRequest) (*hms.GetTableResult_, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.tables[tableKey(req.DbName, req.TblName)]; t != nil {
		return &hms.GetTableResult_{Table: t}, nil
	}
	return nil, &hms.NoSuchObjectException{Message: req.TblName}
}

func (m *metastore) GetTableObjectsByNameReq(_ context.Context, req *hms.GetTablesRequest) (*hms.GetTablesResult_, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &hms.GetTablesResult_{Tables: []*hms.Table{}}
	for _, name := range req.TblNames {
		if t := m.tables[tableKey(req.DbName, name)]; t != nil {
			r.Tables = append(r.Tables, t)
		}
	}
	return r, nil
}

func (m *metastore) CreateTable(_ context.Context, t *hms.Table) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.DbName, t.TableName = strings.ToLower(t.DbName), strings.ToLower(t.TableName)
	if m.tables[tableKey(t.DbName, t.TableName)] != nil {
		return &hms.AlreadyExistsException{Message: t.TableName}
	}
	m.tables[tableKey(t.DbName, t.TableName)] = t
	return nil
}

func (m *metastore) AlterTableWithEnvironmentContext(_ context.Context, db, name string, t *hms.Table, env *hms.EnvironmentContext) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.tables[tableKey(db, name)]
	if was == nil {
		return &hms.InvalidOperationException{Message: name + " doesn't exist"}
	}
	if is := was.Parameters[env.Properties["expected_parameter_key"]]; is != env.Properties["expected_parameter_value"] {
		return &hms.MetaException{Message: "The table has been modified. It is " + is}
	}
	m.tables[tableKey(db, name)] = t
	return nil
}

func (m *metastore) DropTable(_ context.Context, db, name string, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tables[tableKey(db, name)] == nil {
		return &hms.NoSuchObjectException{Message: name}
	}
	delete(m.tables, tableKey(db, name))
	return nil
}

func (m *metastore) state(id int64) (*hms.LockResponse, error) {
	for _, queue := range m.queues {
		for i, l := range queue {
			if l.Lockid == id && i == 0 {
				return &hms.LockResponse{Lockid: id, State: hms.LockState_ACQUIRED}, nil
			} else if l.Lockid == id {
				return &hms.LockResponse{Lockid: id, State: hms.LockState_WAITING}, nil
			}
		}
	}
	return nil, &hms.NoSuchLockException{Message: "no such lock"}
}

func (m *metastore) Lock(_ context.Context, req *hms.LockRequest) (*hms.LockResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := req.Component[0]
	key := tableKey(c.Dbname, c.GetTablename())
	m.last++
	m.queues[key] = append(m.queues[key], &hms.ShowLocksResponseElement{
		Lockid: m.last, Dbname: c.Dbname, Tablename: c.Tablename, User: req.User, Hostname: req.Hostname, AgentInfo: &req.AgentInfo,
		State: hms.LockState_ACQUIRED, Type: c.Type,
	})
	return m.state(m.last)
}

func (m *metastore) CheckLock(_ context.Context, req *hms.CheckLockRequest) (*hms.LockResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state(req.Lockid)
}

func (m *metastore) Unlock(_ context.Context, req *hms.UnlockRequest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, queue := range m.queues {
		for i, l := range queue {
			if l.Lockid == req.Lockid {
				m.queues[key] = append(append([]*hms.ShowLocksResponseElement{}, queue[:i]...), queue[i+1:]...)
				return nil
			}
		}
	}
	return &hms.NoSuchLockException{Message: "no such lock"}
}

func (m *metastore) ShowLocks(_ context.Context, req *hms.ShowLocksRequest) (*hms.ShowLocksResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &hms.ShowLocksResponse{Locks: m.queues[tableKey(req.GetDbname(), req.GetTablename())]}, nil
}

// locks is how many locks there are.
func (m *metastore) locks() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, queue := range m.queues {
		n += len(queue)
	}
	return n
}

func TestSuiteOnHive(t *testing.T) {
	for name, locks := range map[string]string{"locks": "true", "no locks": "false"} {
		t.Run(name, func(t *testing.T) {
			m := startMetastore(t)
			cfg := catalog.Config{URI: m.uri, Warehouse: t.TempDir(), Dir: t.TempDir(), Props: iceberg.Properties{"iceberg.engine.hive.lock-enabled": locks}}
			catalogtest.Run(t, opener(cfg), catalogtest.Traits{Exact: locks == "true", FoldsCase: true})
			if n := m.locks(); n != 0 {
				t.Errorf("%d locks are left", n)
			}
		})
	}
}

// Whatever request or answer gets lost, the class of the error is right about what happened, and no lock stays.
func TestHiveLosesAnswers(t *testing.T) {
	for _, c := range []struct {
		cut   string
		after bool
		class error // of the commit; nil: it succeeds
	}{
		{"alter_table_with_environment_context", true, catalog.ErrUnknownState},
		{"alter_table_with_environment_context", false, catalog.ErrUnknownState},
		{"lock", true, nil}, // it is found
		{"lock", false, catalog.ErrTransient},
		{"unlock", true, nil},
		{"unlock", false, nil},
		{"check_lock", false, nil},
		{"get_table_req", true, nil},
	} {
		name := c.cut + " never arrives"
		if c.after {
			name = c.cut + " is carried out"
		}
		t.Run(name, func(t *testing.T) {
			m := startMetastore(t)
			open := opener(catalog.Config{URI: m.uri, Warehouse: t.TempDir(), Dir: t.TempDir()})
			ident := []string{"lake", "events"}
			made, _, err := open(t).CreateTable(t.Context(), ident, hiveSpec)
			if err != nil {
				t.Fatal(err)
			}
			cat := open(t)
			if _, err := cat.LoadTable(t.Context(), ident); err != nil { // so that a connection is kept
				t.Fatal(err)
			}
			m.mu.Lock()
			m.cut, m.after = c.cut, c.after
			m.mu.Unlock()
			err = setOnHive(t, cat, made, "a", "b")
			if got := catalog.ClassOf(err); got != c.class || c.class == nil && err != nil {
				t.Errorf("%v is %v, want %v", err, got, c.class)
			}
			if m.cuts.Load() != 1 {
				t.Error("nothing was cut")
			}
			if n := m.locks(); n != 0 {
				t.Errorf("%d locks are left", n)
			}
			fresh, err := open(t).LoadTable(t.Context(), ident)
			if err != nil {
				t.Fatal(err)
			}
			if is, want := fresh.Properties()["a"] == "b", c.class == nil || c.after; is != want {
				t.Errorf("the commit is in: %v, want %v", is, want)
			}
		})
	}
}

// A lock that the metastore dropped while the commit was on its way, and one that somebody keeps, end it without a change.
func TestHiveLocksOfOthers(t *testing.T) {
	m := startMetastore(t)
	open := opener(catalog.Config{URI: m.uri, Warehouse: t.TempDir(), Dir: t.TempDir(), Props: iceberg.Properties{"iceberg.hive.lock-timeout-ms": "100"}})
	made, _, err := open(t).CreateTable(t.Context(), []string{"lake", "events"}, hiveSpec)
	if err != nil {
		t.Fatal(err)
	}
	name := "events"
	got, err := m.Lock(t.Context(), &hms.LockRequest{User: "somebody", Hostname: "elsewhere", Component: []*hms.LockComponent{{Dbname: "lake", Tablename: &name}}})
	if err != nil {
		t.Fatal(err)
	}
	err = setOnHive(t, open(t), made, "a", "b")
	if catalog.ClassOf(err) != catalog.ErrConflict || !strings.Contains(err.Error(), "by somebody on elsewhere") {
		t.Errorf("a locked table: %v", err)
	}
	if n := m.locks(); n != 1 {
		t.Errorf("%d locks, want that of the other one", n)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = m.Unlock(context.Background(), &hms.UnlockRequest{Lockid: got.Lockid}) })
	patient := opener(catalog.Config{URI: m.uri, Warehouse: t.TempDir(), Dir: t.TempDir()})
	if err := setOnHive(t, patient(t), made, "a", "b"); err != nil {
		t.Errorf("a lock that ended: %v", err)
	}

	// A table with the property is not locked, whoever has its lock.
	if err := setOnHive(t, open(t), made, "engine.hive.lock-enabled", "false"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Lock(t.Context(), &hms.LockRequest{Component: []*hms.LockComponent{{Dbname: "lake", Tablename: &name}}}); err != nil {
		t.Fatal(err)
	}
	if err := setOnHive(t, open(t), made, "c", "d"); err != nil {
		t.Errorf("a table without locks: %v", err)
	}
}

// A table of Hive's own is named and left alone.
func TestHiveTableOfAnotherKind(t *testing.T) {
	m := startMetastore(t)
	cat := opener(catalog.Config{URI: m.uri, Warehouse: t.TempDir(), Dir: t.TempDir()})(t)
	if err := m.CreateDatabase(t.Context(), &hms.Database{Name: "lake"}); err != nil {
		t.Fatal(err)
	}
	if err := m.CreateTable(t.Context(), &hms.Table{DbName: "lake", TableName: "plain", TableType: "MANAGED_TABLE"}); err != nil {
		t.Fatal(err)
	}
	ident := []string{"lake", "plain"}
	_, loaded := cat.LoadTable(t.Context(), ident)
	_, _, created := cat.CreateTable(t.Context(), ident, hiveSpec)
	for what, err := range map[string]error{"load": loaded, "drop": cat.DropTable(t.Context(), ident), "purge": cat.PurgeTable(t.Context(), ident)} {
		if catalog.ClassOf(err) != catalog.ErrRejected || !strings.Contains(err.Error(), "lake.plain of the metastore is no Iceberg table, it is managed table") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if created == nil {
		t.Error("a table was made in its place")
	}
	if m.tables["lake.plain"] == nil {
		t.Error("it is gone")
	}
	for id, err := range cat.ListTables(t.Context(), []string{"lake"}) {
		t.Errorf("listed: %v, %v", id, err)
	}
	for _, err := range cat.ListTables(t.Context(), []string{"nowhere"}) {
		if catalog.ClassOf(err) != catalog.ErrNotFound {
			t.Errorf("no such database: %v", err)
		}
	}
}

var hiveSpec = catalog.TableSpec{Schema: iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})}

func setOnHive(t *testing.T, cat *catalog.Catalog, tbl *table.Table, key, value string) error {
	t.Helper()
	_, _, err := cat.CommitTable(t.Context(), tbl.Identifier(), []table.Requirement{table.AssertTableUUID(tbl.Metadata().TableUUID())},
		[]table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{key: value})})
	return err
}
