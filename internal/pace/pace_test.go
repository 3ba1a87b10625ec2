package pace

import (
	"fmt"
	"slices"
	"testing"
)

// told is a testing.TB that remembers what it was told.
type told struct {
	testing.TB
	logs, errors int
}

func (t *told) Helper()               {}
func (t *told) Logf(string, ...any)   { t.logs++ }
func (t *told) Errorf(string, ...any) { t.errors++ }

// What passes at one pace has passed, what does not at any has failed once, and each try ends where it is fatal.
func TestAny(t *testing.T) {
	for passes, want := range map[int]struct {
		paces        []int
		logs, errors int
	}{1: {[]int{1}, 0, 0}, 5: {[]int{1, 5}, 1, 0}, 25: {[]int{1, 5, 25}, 2, 0}, 0: {[]int{1, 5, 25}, 2, 1}} {
		for _, fails := range []func(t testing.TB){
			func(t testing.TB) { t.Error("so") }, func(t testing.TB) { t.Errorf("so") }, testing.TB.Fail, testing.TB.FailNow,
			func(t testing.TB) { t.Fatal("so"); panic("it went on") }, func(t testing.TB) { t.Fatalf("so"); panic("it went on") },
		} {
			heard := &told{TB: t}
			var tried []int
			Any(heard, func(t testing.TB, pace int) {
				tried = append(tried, pace)
				if pace != passes {
					fails(t)
				}
				if t.Failed() != (pace != passes) {
					panic(fmt.Sprint("failed: ", t.Failed()))
				}
			})
			if !slices.Equal(tried, want.paces) || heard.logs != want.logs || heard.errors != want.errors {
				t.Errorf("it passes at %d: tried at %v, %d logs, %d errors, want %+v", passes, tried, heard.logs, heard.errors, want)
			}
		}
	}
}
