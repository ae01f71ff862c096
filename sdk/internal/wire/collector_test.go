package wire

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	checkv1 "github.com/ldirectord/ldirectord/proto/check/v1"
	"github.com/ldirectord/ldirectord/sdk"
)

// Good news waits for the host's first message after batchAge, or for batchDelay; bad news
// leaves at once and takes along what there is.
func TestCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c, begun := newCollector(), time.Now()
		type message struct {
			results int
			at      time.Duration
		}
		sent := make(chan message, 10)
		go c.run(ctx, func(r *checkv1.RunResponse) error {
			sent <- message{len(r.GetResults()), time.Since(begun)}
			return nil
		})
		expect := func(want ...message) {
			t.Helper()
			synctest.Wait()
			for _, w := range want {
				select {
				case got := <-sent:
					if got != w {
						t.Errorf("sent %+v, want %+v", got, w)
					}
				default:
					t.Errorf("nothing sent, want %+v", w)
				}
			}
			if len(sent) > 0 {
				t.Errorf("sent %+v as well", <-sent)
			}
		}
		c.finish(1, sdk.Up())
		time.Sleep(10 * time.Millisecond)
		c.visit() // too early
		c.finish(2, sdk.Up())
		expect()
		time.Sleep(10 * time.Millisecond)
		c.visit()
		expect(message{2, 20 * time.Millisecond})
		time.Sleep(80 * time.Millisecond)
		c.visit() // the timer of what has left is not left over, nor is there anything to send
		expect()
		c.finish(1, sdk.Up())
		time.Sleep(time.Second)
		expect(message{1, 100*time.Millisecond + batchDelay})
		c.finish(1, sdk.Up())
		c.finish(2, sdk.Down("no"))
		expect(message{2, 1100 * time.Millisecond})
	})
}
