package testing

import (
	"sync/atomic"
	_ "unsafe" // for the name of another package's variable
)

// startNano is what the monotonic clock of package time is counted from.
//
//go:linkname startNano time.startNano
var startNano int64

// passOn makes times that the program remembers old, by the monotonic clock, which nothing outside of it knows.
func passOn(seconds float64) { atomic.AddInt64(&startNano, -int64(seconds*1e9)) }
