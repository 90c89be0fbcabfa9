// Package testing runs tests in an ordinary program, and likewise in one that `go test` has built, for comparison.
//
// It stands in the place of the package of the same name in test files. Results are lines of JSON, as those of the
// other scripts in this folder. Its constants are in a file that is written for each run.
package testing

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"syscall"
	real "testing"
	"time"
)

// Names that tests use besides T; what takes a real TB takes a T of this package, too.
type (
	TB              = real.TB
	B               = real.B
	PB              = real.PB
	F               = real.F
	BenchmarkResult = real.BenchmarkResult
)

// Functions that need no runner.
var (
	AllocsPerRun = real.AllocsPerRun
	Benchmark    = real.Benchmark
)

// Short is false, as it usually is.
func Short() bool { return false }

// Verbose is false, as it usually is.
func Verbose() bool { return false }

// CoverMode is none.
func CoverMode() string { return "" }

// T is a test at work.
type T struct {
	real.TB
	name    string
	leave   func()
	lock    sync.Mutex
	failed  bool
	skipped bool
	message string
	ends    []func()
	parent  *T
	cancel  context.CancelFunc
	context context.Context
}

func (t *T) Name() string                { return t.name }
func (t *T) Helper()                     {}
func (t *T) Parallel()                   {}
func (t *T) Log(...interface{})                  {}
func (t *T) Logf(string, ...interface{})         {}
func (t *T) Failed() bool                { return t.failed }
func (t *T) Skipped() bool               { return t.skipped }
func (t *T) Deadline() (time.Time, bool) { return time.Time{}, false }

func (t *T) Fail() {
	for one := t; one != nil; one = one.parent {
		one.failed = true
	}
}

func (t *T) FailNow() {
	t.Fail()
	t.leave()
}

func (t *T) say(text string) {
	t.lock.Lock()
	defer t.lock.Unlock()
	for one := t; one != nil; one = one.parent {
		if one.message == "" {
			one.message = strings.TrimSpace(text)
		}
	}
}

func (t *T) Error(words ...interface{}) {
	t.say(fmt.Sprintln(words...))
	t.Fail()
}

func (t *T) Errorf(format string, words ...interface{}) {
	t.say(fmt.Sprintf(format, words...))
	t.Fail()
}

func (t *T) Fatal(words ...interface{}) {
	t.say(fmt.Sprintln(words...))
	t.FailNow()
}

func (t *T) Fatalf(format string, words ...interface{}) {
	t.say(fmt.Sprintf(format, words...))
	t.FailNow()
}

func (t *T) SkipNow() {
	t.skipped = true
	t.leave()
}

func (t *T) Skip(...interface{})          { t.SkipNow() }
func (t *T) Skipf(string, ...interface{}) { t.SkipNow() }
func (t *T) Cleanup(end func())   { t.ends = append(t.ends, end) }

func (t *T) TempDir() string {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return folder
}

func (t *T) Setenv(key, value string) {
	before, was := os.LookupEnv(key)
	os.Setenv(key, value)
	t.Cleanup(func() {
		if was {
			os.Setenv(key, before)
		} else {
			os.Unsetenv(key)
		}
	})
}

func (t *T) Chdir(folder string) {
	before, err := os.Getwd()
	if err == nil {
		err = os.Chdir(folder)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chdir(before) })
}

func (t *T) Context() context.Context {
	if t.context == nil {
		t.context, t.cancel = context.WithCancel(context.Background())
	}
	return t.context
}

// Run runs a test inside of this one.
func (t *T) Run(name string, body func(*T)) bool {
	inner := &T{name: t.name + "/" + strings.ReplaceAll(name, " ", "_"), parent: t}
	inner.run(body)
	return !inner.failed
}

// run runs a test to its end, in a goroutine of its own.
func (t *T) run(body func(*T)) {
	spawn(func(leave func()) {
		t.leave = leave
		defer t.end()
		defer t.caught()
		body(t)
	})
}

func (t *T) caught() {
	if problem := recover(); problem != nil && problem != interface{}(left) {
		t.say(fmt.Sprint("panic: ", problem))
		t.Fail()
	}
}

func (t *T) end() {
	if t.cancel != nil {
		t.cancel()
	}
	for len(t.ends) > 0 {
		last := t.ends[len(t.ends)-1]
		t.ends = t.ends[:len(t.ends)-1]
		func() {
			defer t.caught()
			last()
		}()
	}
}

type test struct {
	file, name string
	number     int
	run        func(*T)
}

var (
	tests []test
	spawn = func(body func(leave func())) { body(leaveHere) }
)

// left is what a test panics with that ends on purpose, in the goroutine that the program began with.
var left = new(int)

func leaveHere() {
	var told [16]byte
	runtime.Stack(told[:], false)
	if strings.HasPrefix(string(told[:]), "goroutine 1 [") {
		panic(left)
	}
	runtime.Goexit()
}

// Add makes a test known.
func Add(number int, file, name string, run func(*T)) {
	tests = append(tests, test{file, name, number, run})
}

// M runs all tests.
type M struct{}

func (*M) Run() int {
	runAll()
	return 0
}

// Main runs the tests, by way of what the package has for that, if anything.
func Main(around func(*M)) {
	passOn(shift)
	if around == nil {
		around = func(m *M) { m.Run() }
	}
	around(&M{})
}

// MainWatched does so inside a real test.
func MainWatched(outer *real.T, around func(*M)) {
	spawn = func(body func(leave func())) {
		outer.Run("", func(inner *real.T) { body(inner.SkipNow) })
	}
	Main(around)
}

func attempt(one test) (string, string) {
	t := &T{name: one.name}
	t.run(one.run)
	switch {
	case t.failed:
		return "failed", t.message
	case t.skipped:
		return "skipped", ""
	}
	return "passed", ""
}

func runAll() {
	out, err := os.OpenFile(place, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0644)
	if err != nil {
		return
	}
	defer out.Close()
	sort.SliceStable(tests, func(a, b int) bool { return tests[a].number < tests[b].number })
	time.Sleep(time.Duration(age * float64(time.Second)))
	var passed []test
	var ends time.Time
	for _, one := range tests {
		if one.number >= firstOwn {
			if ends.IsZero() {
				ends = time.Now().Add(time.Duration(limit * float64(time.Second)))
			}
			if time.Now().After(ends) {
				break
			}
		}
		fmt.Fprintf(out, `{"running":%s,"file":%s}`+"\n", quoted(one.name), quoted(one.file))
		outcome, message := attempt(one)
		fmt.Fprintf(out, `{"test":%s,"file":%s,"outcome":%q,"message":%s,"judges":%t}`+"\n",
			quoted(one.name), quoted(one.file), outcome, quoted(message), outcome == "failed")
		if outcome == "passed" {
			passed = append(passed, one)
		}
	}
	if !watched {
		repeat(passed, out)
	}
}

// later is the round of repetition before which time passes, and before what fails there is tried again.
const later = 4

func repeat(all []test, out *os.File) {
	whole := time.Duration(budget * float64(time.Second))
	used, failing := map[string]time.Duration{}, map[string]string{}
	spent, share := time.Duration(0), whole/time.Duration(len(tests)+1)
	pauses := 0
	pause := func() {
		passOn(shift)
		if pauses <= 2 { // since each has to be waited for
			time.Sleep(time.Duration(gap * float64(time.Second)))
		}
		pauses++
	}
	going := all
	for round := 2; round < rounds && len(going) > 0; round++ {
		if round == later {
			pause()
		}
		hasRun, isFirst := false, round <= later
		if round == later+1 {
			spent = 0 // whatever slow tests took
		}
		if spent > whole && !isFirst {
			return
		}
		kept := going[:0:0]
		for _, one := range going {
			key := one.file + one.name
			if used[key] > share && (spent > whole || !isFirst) { // so that the others have theirs
				kept = append(kept, one)
				continue
			}
			hasRun = true
			start, before := time.Now(), processorTime()
			outcome, message := attempt(one)
			cost := time.Since(start) / time.Duration(patience)
			if taken := processorTime() - before; taken > cost {
				cost = taken
			}
			spent += cost
			used[key] += cost
			if outcome == "passed" {
				kept = append(kept, one)
				continue
			}
			failing[key] = message
			for again := 0; isFirst && again < 2; again++ {
				if round == later {
					pause()
				}
				if outcome, _ := attempt(one); outcome != "failed" {
					delete(failing, key)
				}
			}
		}
		if !isFirst {
			leaveFailing(failing, all)
		}
		for _, one := range all {
			message, fails := failing[one.file+one.name]
			if fails && round > 2 && !strings.Contains(message, "too many open files") {
				fmt.Fprintf(out, `{"test":%s,"file":%s,"outcome":"decayed","round":%d,"message":%s}`+"\n",
					quoted(one.name), quoted(one.file), round, quoted(message))
			}
			delete(failing, one.file+one.name)
		}
		going = kept
		if !hasRun { // time is left
			share *= 2
		}
	}
}

// leaveFailing leaves tests that fail among all others as well, twice: one may need what another leaves.
func leaveFailing(failing map[string]string, all []test) {
	for again := 0; len(failing) > 0 && again < 2; again++ {
		for _, one := range all {
			if outcome, _ := attempt(one); outcome != "failed" {
				delete(failing, one.file+one.name)
			}
		}
	}
}

// processorTime is the time that the processor has worked for the program.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func quoted(text string) string {
	var made strings.Builder
	made.WriteByte('"')
	for at, sign := range text {
		if at > 500 {
			break
		}
		if sign < ' ' || sign == '"' || sign == '\\' || sign > '~' {
			if sign > 0xffff {
				sign = '?'
			}
			fmt.Fprintf(&made, `\u%04x`, sign)
		} else {
			made.WriteRune(sign)
		}
	}
	made.WriteByte('"')
	return made.String()
}
