package gen

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// The figures of two machines compare only if their inputs are the same, so the first MiB of each is pinned.
func TestInputsAreTheSameEverywhere(t *testing.T) {
	want := map[string]string{
		"lineitem":    "f1f99fefead7406b026644e7d8338f1a4fdad4f9107ba345b4bdfd3ce0f96725",
		"events":      "f3e78bf0ccc9376018e54043f22770a6eb0fe0e51a65b53199a0cfb935f959ea",
		"flat-events": "0c2660a9fa23dfb9ad3a761e8611922f8f90bb673da261df48c5f6731161f9b3",
	}
	for _, in := range Inputs {
		p := prefix{limit: 1 << 20}
		if err := in.Write(&p, in.Full); !errors.Is(err, errEnough) {
			t.Fatalf("%s: error %v, and the reader's own was to come back", in.Name, err)
		}
		sum := sha256.Sum256(p.Bytes())
		if got := hex.EncodeToString(sum[:]); got != want[in.Name] {
			t.Errorf("%s: the first MiB has SHA-256 %s, want %s", in.Name, got, want[in.Name])
		}
	}
}

var errEnough = errors.New("enough")

// prefix keeps the first bytes of what is written to it, and refuses the rest.
type prefix struct {
	bytes.Buffer
	limit int
}

func (p *prefix) Write(b []byte) (int, error) {
	if room := p.limit - p.Len(); len(b) > room {
		p.Buffer.Write(b[:room])
		return 0, errEnough
	}
	return p.Buffer.Write(b)
}

// What TPC-H's specification says of lineitem that a load can feel: four rows an order, comments
// of 10 to 43 letters that other readers of CSV see as we wrote them, seven years of ship dates.
func TestLineitem(t *testing.T) {
	const orders = 20_000
	var text bytes.Buffer
	if err := Lineitem(&text, orders); err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(&text)
	if head, err := r.Read(); err != nil || len(head) != 16 || head[10] != "l_shipdate" {
		t.Fatalf("header %q, %v", head, err)
	}
	rows, months, seen := 0, map[string]bool{}, map[string]bool{}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		rows++
		months[row[10][:7]] = true
		if key := row[0] + "/" + row[3]; seen[key] {
			t.Fatalf("order and line %s come twice", key)
		} else {
			seen[key] = true
		}
		if n := len(row[15]); n < 10 || n > 43 {
			t.Fatalf("row %d: a comment of %d letters: %q", rows, n, row[15])
		}
		if row[10] >= row[12] {
			t.Fatalf("row %d: received on %s, shipped on %s", rows, row[12], row[10])
		}
	}
	if rows < orders*39/10 || rows > orders*41/10 {
		t.Errorf("%d rows of %d orders", rows, orders)
	}
	if len(months) < 83 { // few orders reach December 1998, the 84th
		t.Errorf("%d months, want 84 or almost", len(months))
	}
}

// Both files of events have the same events: each line is valid JSON, one of a hundred ids comes again, every
// day has its share, and one actor in twenty makes up a good part.
func TestEvents(t *testing.T) {
	const n = 50_000
	var nested, flat bytes.Buffer
	if err := errors.Join(Events(&nested, n), FlatEvents(&flat, n)); err != nil {
		t.Fatal(err)
	}
	type line struct {
		ID      string
		Type    string
		Actor   struct{ Login string }
		Payload struct {
			Commits []struct{ Message string }
			Comment struct{ Body string }
		}
		ActorLogin string `json:"actor_login"`
		Text       string
		CreatedAt  time.Time `json:"created_at"`
	}
	ids, days, actors, repeated := map[string]bool{}, map[string]int{}, map[string]int{}, 0
	flatLines := json.NewDecoder(&flat)
	for text := range strings.Lines(nested.String()) {
		var a, b line
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := flatLines.Decode(&b); err != nil {
			t.Fatal(err)
		}
		switch {
		case a.ID != b.ID || a.Type != b.Type || a.Actor.Login != b.ActorLogin || !a.CreatedAt.Equal(b.CreatedAt):
			t.Fatalf("nested %+v, flat %+v", a, b)
		case a.Type == "PushEvent" && a.Payload.Commits[0].Message != b.Text, a.Type == "IssueCommentEvent" && a.Payload.Comment.Body != b.Text:
			t.Fatalf("nested %+v, flat %+v", a, b)
		}
		if ids[a.ID] {
			repeated++
		}
		ids[a.ID] = true
		days[a.CreatedAt.Format(time.DateOnly)]++
		actors[a.Actor.Login]++
	}
	if flatLines.More() {
		t.Error("there are more flat events than nested ones")
	}
	if repeated < n/200 || repeated > n/50 {
		t.Errorf("%d of %d events repeat an earlier one, want about %d", repeated, n, n/100)
	}
	if len(days) != eventDays || days["2026-01-01"] == 0 || days["2026-01-30"] == 0 {
		t.Errorf("days %v, want %d of them", days, eventDays)
	}
	most := 0
	for _, count := range actors {
		most = max(most, count)
	}
	if most < n/100 {
		t.Errorf("the busiest actor has %d of %d events: there is no skew", most, n)
	}
}
