// Package schedule runs actors that share something one at a time, in an order that a seed
// decides: whatever an order of steps can break, some seed breaks, and breaks again. Only tests
// import it.
//
// An actor is a goroutine that asks for its turn before each step that others could notice. No
// two actors ever run at once, so what they share needs no locks and a seed's history is always
// the same, as long as the actors decide by nothing else than what they see.
package schedule

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// Schedule is one order of steps in the making.
type Schedule struct {
	// Rand is for whatever else the seed is to decide. An actor may use it in its turn.
	Rand *rand.Rand

	now   time.Time
	order order
	ready []*Actor // those that ask for their turn
	back  chan struct{}
	trace []string
}

// Actor is one of those that take turns.
type Actor struct {
	Name string

	s    *Schedule
	turn chan bool // false: it is no more
}

// maxTurns is far more than any history of a test has: actors that wait for one another.
const maxTurns = 20_000

// New returns the schedule of a seed. A third of the seeds pick any actor for each turn; a third
// let an actor go on most of the time; a third go by ranks, which change now and then, so that
// some actor stands still while others come and go.
func New(seed uint64) *Schedule {
	s := &Schedule{
		Rand: rand.New(rand.NewPCG(seed, 0)),
		now:  time.Date(2024, 1, 15, 0, 0, 0, 0, time.UTC),
		back: make(chan struct{}),
	}
	s.order = []func() order{anyone, onward, ranks}[seed%3]()
	return s
}

// Go adds an actor. It runs from its first turn on. Those that are added before Run are ready
// together, and so is one that an actor adds in its turn.
func (s *Schedule) Go(name string, run func(a *Actor)) {
	a := &Actor{Name: name, s: s, turn: make(chan bool)}
	s.ready = append(s.ready, a)
	go func() {
		defer func() { s.back <- struct{}{} }() // also when the actor dies
		if !<-a.turn {
			return
		}
		run(a)
	}()
}

// Run gives out turns until every actor has ended. Where they never would, it ends them and
// returns an error.
func (s *Schedule) Run() error {
	turns := 0
	for ; len(s.ready) > 0; turns++ {
		i := s.order(s)
		a := s.ready[i]
		s.ready = slices.Delete(s.ready, i, i+1)
		s.now = s.now.Add(time.Duration(s.Rand.Int64N(int64(2 * time.Second))))
		a.turn <- turns < maxTurns
		<-s.back
	}
	if turns > maxTurns {
		return fmt.Errorf("no end after %d turns", maxTurns)
	}
	return nil
}

// Now is the time of the schedule, which goes on with every turn.
func (s *Schedule) Now() time.Time { return s.now }

// Trace is what was done in each turn, in order.
func (s *Schedule) Trace() []string { return s.trace }

// Turn waits for the actor's turn. step is for the trace.
func (a *Actor) Turn(step string) {
	s := a.s
	s.ready = append(s.ready, a)
	s.back <- struct{}{}
	if !<-a.turn {
		runtime.Goexit()
	}
	s.trace = append(s.trace, a.Name+": "+step)
}

// Note adds a line to the trace.
func (a *Actor) Note(text string) { a.s.trace = append(a.s.trace, a.Name+":   "+text) }

// Die ends the actor where it stands, as a killed process ends.
func (a *Actor) Die() {
	a.Note("is killed")
	runtime.Goexit()
}

// Sleep is a turn; how long it takes is for the schedule to say.
func (a *Actor) Sleep(ctx context.Context, _ time.Duration) error {
	a.Turn("waits")
	return ctx.Err()
}

// order picks the next of s.ready.
type order func(s *Schedule) int

func anyone() order {
	return func(s *Schedule) int { return s.Rand.IntN(len(s.ready)) }
}

// onward stays with the actor of the last turn four times of five.
func onward() order {
	var last *Actor
	return func(s *Schedule) int {
		i := slices.Index(s.ready, last)
		if i < 0 || s.Rand.IntN(5) == 0 {
			i = s.Rand.IntN(len(s.ready))
		}
		last = s.ready[i]
		return i
	}
}

// ranks takes the first in rank. Now and then the first falls behind all others.
func ranks() order {
	rank := map[*Actor]float64{}
	floor := 0.0
	return func(s *Schedule) int {
		first := 0
		for i, a := range s.ready {
			if _, ok := rank[a]; !ok {
				rank[a] = s.Rand.Float64()
			}
			if rank[a] > rank[s.ready[first]] {
				first = i
			}
		}
		if s.Rand.IntN(8) == 0 {
			floor--
			rank[s.ready[first]] = floor
		}
		return first
	}
}
