package gen

import (
	"bufio"
	"io"
	"strconv"
	"time"
)

// Events are spread over this many days, from 2026-01-01 on.
const eventDays = 30

// Events writes n events as NDJSON, in the shape of what a code host tells of its users: who did what to which
// repository, with a payload that depends on the type. A few actors and repositories are in most
// of them. Times grow with up to two hours of jitter, one of 200 is up to three days late, one of 100
// lines is an earlier event again, and a third of those have another payload.
func Events(w io.Writer, n int) error { return writeEvents(w, n, appendNested) }

// FlatEvents writes the same events with one level of keys: what is one to one, and the first text of each.
func FlatEvents(w io.Writer, n int) error { return writeEvents(w, n, appendFlat) }

func writeEvents(w io.Writer, n int, render func([]byte, *event) []byte) error {
	texts := prose(4 << 20)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	const span = eventDays * 86400
	out := bufio.NewWriterSize(w, 1<<20)
	var e event
	var b []byte
	for i := range n {
		number, revised := i, false
		again := at(seed+77, uint64(i))
		if i > 1000 && again.below(100) == 0 {
			number = i - 1 - again.skewed(min(i-1, 500_000)) // mostly a recent one
			revised = again.below(3) == 0
		}
		r := at(seed, uint64(number))
		second := start + int64(number)*span/int64(n) - int64(r.below(7200))
		if r.below(200) == 0 {
			second -= int64(r.below(3 * 86400))
		}
		e.draw(&r, texts, number, max(second, start))
		e.revised = revised
		b = render(b[:0], &e)
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	return out.Flush()
}

// event is what one event holds; its texts are ready to stand in a JSON string.
type event struct {
	id, actor, repo uint64
	kind            string
	payload         payload
	revised         bool
	created         int64 // seconds since 1970
	org             bool
}

// payload has the fields of all types; kind says which of them count.
type payload struct {
	head                 []byte // a hash
	commits              []commit
	newRepo, described   bool
	text                 []byte // description, title or body
	number               int
	merged               bool
	additions, deletions int
	labels               []string
	score                int // thousandths
}

type commit struct{ sha, message []byte }

func (e *event) draw(r *random, texts []byte, number int, created int64) {
	e.created = created
	e.id = 45_000_000_000 + uint64(number)*7 + uint64(r.below(7))
	e.actor, e.repo = uint64(r.skewed(400_000)), uint64(r.skewed(250_000))
	kind := r.below(100)
	p := &e.payload
	switch {
	case kind < 52:
		e.kind = "PushEvent"
		p.commits = p.commits[:cap(p.commits)]
		n := 1 + r.below(5)/4
		for len(p.commits) < n {
			p.commits = append(p.commits, commit{})
		}
		p.commits = p.commits[:n]
		p.head = appendHex(p.head[:0], r, 40)
		for i := range p.commits {
			c := &p.commits[i]
			c.sha = appendHex(c.sha[:0], r, 40)
			c.message = appendText(c.message[:0], r, texts, 20, 90)
		}
	case kind < 66:
		e.kind = "CreateEvent"
		p.newRepo = r.below(3) == 0
		if p.described = r.below(2) != 0; p.described {
			p.text = appendText(p.text[:0], r, texts, 10, 80)
		}
	case kind < 77:
		e.kind = "PullRequestEvent"
		p.number = r.skewed(20_000)
		p.text = appendText(p.text[:0], r, texts, 15, 70)
		p.merged = r.below(2) == 0
		p.additions, p.deletions = r.skewed(5000), r.skewed(3000)
		p.labels = p.labels[:0]
		for n := r.below(4); n > 0; n-- {
			p.labels = append(p.labels, r.of(adjectives))
		}
	case kind < 87:
		e.kind = "IssueCommentEvent"
		p.number, p.score = r.skewed(20_000), r.below(100_000)
		p.text = appendText(p.text[:0], r, texts, 40, 300)
	case kind < 95:
		e.kind = "WatchEvent"
	default:
		e.kind = "ForkEvent"
	}
	e.org = r.below(4) == 0
}

// appendText appends a piece of texts of low to high bytes; a third of them have an escape or letters beyond ASCII.
func appendText(b []byte, r *random, texts []byte, low, high int) []byte {
	length, from := r.between(low, high), r.below(len(texts)-512)
	b = append(b, texts[from:from+length]...)
	switch r.below(12) {
	case 0:
		b = append(b, `\n\n- `...)
	case 1:
		b = append(b, ` \"quoted\" `...)
	case 2:
		b = append(b, ` caf\u00e9 `...)
	case 3:
		b = append(b, " 日本語 ✓"...)
	}
	return b
}

func appendNested(b []byte, e *event) []byte {
	b = strconv.AppendUint(append(b, `{"id":"`...), e.id, 10)
	b = append(append(b, `","type":"`...), e.kind...)
	b = strconv.AppendUint(append(b, `","actor":{"id":`...), e.actorID(), 10)
	b = e.appendActor(append(b, `,"login":"`...))
	b = append(b, `","gravatar_id":"","url":"https://api.example.com/users/`...)
	b = e.appendActor(b)
	b = strconv.AppendUint(append(b, `"},"repo":{"id":`...), e.repoID(), 10)
	b = e.appendRepo(append(b, `,"name":"`...))
	b = appendPayload(append(b, `"},"payload":{`...), e)
	if e.revised {
		b = append(b, `,"revision":2`...)
	}
	b = e.appendCreated(append(b, `},"public":true,"created_at":"`...))
	b = append(b, '"')
	if e.org {
		b = strconv.AppendUint(append(b, `,"org":{"id":`...), e.orgID(), 10)
		b = append(e.appendOrg(append(b, `,"login":"`...)), `"}`...)
	}
	return append(b, '}', '\n')
}

func appendPayload(b []byte, e *event) []byte {
	p := &e.payload
	switch e.kind {
	case "PushEvent":
		b = strconv.AppendUint(append(b, `"push_id":`...), e.id*2+11, 10)
		b = strconv.AppendInt(append(b, `,"size":`...), int64(len(p.commits)), 10)
		b = append(append(b, `,"ref":"refs/heads/main","head":"`...), p.head...)
		b = append(b, `","commits":[`...)
		for i, c := range p.commits {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, `{"sha":"`...), c.sha...)
			b = e.appendActor(append(b, `","author":{"email":"`...))
			b = append(append(b, `@example.com"},"message":"`...), c.message...)
			b = append(b, `","distinct":true}`...)
		}
		b = append(b, ']')
	case "CreateEvent":
		if p.newRepo {
			b = append(b, `"ref":null,"ref_type":"repository"`...)
		} else {
			b = append(e.appendBranch(append(b, `"ref":"`...)), `","ref_type":"branch"`...)
		}
		b = append(b, `,"master_branch":"main","description":`...)
		if p.described {
			b = append(append(append(b, '"'), p.text...), '"')
		} else {
			b = append(b, `null`...)
		}
	case "PullRequestEvent":
		b = strconv.AppendInt(append(b, `"action":"opened","number":`...), int64(p.number), 10)
		b = append(append(b, `,"pull_request":{"title":"`...), p.text...)
		b = strconv.AppendBool(append(b, `","merged":`...), p.merged)
		b = strconv.AppendInt(append(b, `,"additions":`...), int64(p.additions), 10)
		b = strconv.AppendInt(append(b, `,"deletions":`...), int64(p.deletions), 10)
		b = append(b, `,"labels":[`...)
		for i, label := range p.labels {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(append(b, '"'), label...), '"')
		}
		b = append(b, `]}`...)
	case "IssueCommentEvent":
		b = strconv.AppendInt(append(b, `"action":"created","issue":{"number":`...), int64(p.number), 10)
		b = e.appendScore(append(b, `,"score":`...))
		b = append(append(append(b, `},"comment":{"body":"`...), p.text...), `"}`...)
	case "WatchEvent":
		b = append(b, `"action":"started"`...)
	case "ForkEvent":
		b = strconv.AppendUint(append(b, `"forkee":{"id":`...), e.id-40_000_000_000, 10)
		b = append(b, `,"private":false}`...)
	}
	return b
}

func appendFlat(b []byte, e *event) []byte {
	p := &e.payload
	b = strconv.AppendUint(append(b, `{"id":"`...), e.id, 10)
	b = append(append(b, `","type":"`...), e.kind...)
	b = strconv.AppendUint(append(b, `","actor_id":`...), e.actorID(), 10)
	b = e.appendActor(append(b, `,"actor_login":"`...))
	b = append(e.appendActor(append(b, `","actor_url":"https://api.example.com/users/`...)), '"')
	b = strconv.AppendUint(append(b, `,"repo_id":`...), e.repoID(), 10)
	b = append(e.appendRepo(append(b, `,"repo_name":"`...)), '"')
	text := p.text
	switch e.kind {
	case "PushEvent":
		b = append(append(b, `,"action":"pushed","ref":"refs/heads/main","head":"`...), p.head...)
		b = strconv.AppendInt(append(b, `","size":`...), int64(len(p.commits)), 10)
		text = p.commits[0].message
	case "CreateEvent":
		if p.newRepo {
			b = append(b, `,"action":"created","ref":null`...)
		} else {
			b = append(e.appendBranch(append(b, `,"action":"created","ref":"`...)), '"')
		}
		if !p.described {
			text = nil
		}
	case "PullRequestEvent":
		b = strconv.AppendInt(append(b, `,"action":"opened","number":`...), int64(p.number), 10)
		b = strconv.AppendInt(append(b, `,"size":`...), int64(p.additions+p.deletions), 10)
	case "IssueCommentEvent":
		b = strconv.AppendInt(append(b, `,"action":"commented","number":`...), int64(p.number), 10)
		b = e.appendScore(append(b, `,"score":`...))
	case "WatchEvent":
		b, text = append(b, `,"action":"started"`...), nil
	case "ForkEvent":
		b, text = append(b, `,"action":"forked"`...), nil
	}
	if text != nil {
		b = append(append(append(b, `,"text":"`...), text...), '"')
	}
	if e.revised {
		b = append(b, `,"revision":2`...)
	}
	b = append(e.appendCreated(append(b, `,"public":true,"created_at":"`...)), '"')
	if e.org {
		b = strconv.AppendUint(append(b, `,"org_id":`...), e.orgID(), 10)
		b = append(e.appendOrg(append(b, `,"org_login":"`...)), '"')
	}
	return append(b, '}', '\n')
}

func (e *event) actorID() uint64 { return 1000 + e.actor*13 }
func (e *event) repoID() uint64  { return 500_000 + e.repo*17 }
func (e *event) orgID() uint64   { return 9000 + e.repo%5000 }

func (e *event) appendActor(b []byte) []byte  { return appendName(b, 5, e.actor) }
func (e *event) appendOrg(b []byte) []byte    { return appendName(b, 8, e.repo%5000) }
func (e *event) appendBranch(b []byte) []byte { return appendName(b, 9, e.id) }

func (e *event) appendRepo(b []byte) []byte {
	return appendName(append(appendName(b, 6, e.repo%90_000), '/'), 7, e.repo)
}

// appendScore appends thousandths with three digits after the point.
func (e *event) appendScore(b []byte) []byte {
	s := e.payload.score
	return append(strconv.AppendInt(b, int64(s/1000), 10), '.', byte('0'+s/100%10), byte('0'+s/10%10), byte('0'+s%10))
}

func (e *event) appendCreated(b []byte) []byte {
	return time.Unix(e.created, 0).UTC().AppendFormat(b, "2006-01-02T15:04:05Z")
}
