package redislink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"scout/config"
	"scout/sidekiq"
)

// configFor returns the section redis for a server, with a password unless that
// is empty.
func configFor(addr, password string) config.Redis {
	if password != "" {
		addr = ":" + password + "@" + addr
	}
	return config.Redis{URL: config.Secret("redis://" + addr), DedupTTL: time.Hour}
}

// newLink returns a link to the Redis of c. Its Load is load.
func newLink(t *testing.T, c config.Redis, load func() (config.Redis, error)) *Link {
	t.Helper()
	l := &Link{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Load: func(context.Context) (config.Redis, error) { return load() }}
	client, err := l.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	l.SwapClient(c, client)
	t.Cleanup(func() { l.Close() })
	return l
}

func job(id string) sidekiq.Job { return sidekiq.Job{JID: id, Queue: "q", Payload: []byte("{}")} }

// rotatePassword makes the server require another password and closes its
// connections.
func rotatePassword(t *testing.T, server *miniredis.Miniredis, password string) {
	t.Helper()
	server.Close()
	server.RequireAuth(password)
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
}

// A push that began before the client was swapped still reaches the former
// Redis, whose connections are closed after that.
func TestSwapClient(t *testing.T) {
	first, second := miniredis.RunT(t), miniredis.RunT(t)
	started, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	first.Server().SetPreHook(func(_ *server.Peer, command string, _ ...string) bool {
		once.Do(func() { close(started); <-proceed })
		return false
	})
	link := newLink(t, configFor(first.Addr(), ""), nil)
	pushed := make(chan error)
	go func() {
		_, err := link.Push(t.Context(), []sidekiq.Job{job("a")})
		pushed <- err
	}()
	<-started
	next, err := link.NewClient(configFor(second.Addr(), ""))
	if err != nil {
		t.Fatal(err)
	}
	link.SwapClient(configFor(second.Addr(), ""), next)
	if !link.Uses(configFor(second.Addr(), "")) || link.Address() != second.Addr() {
		t.Errorf("the link uses %s, want %s", link.Address(), second.Addr())
	}
	if _, err := link.Push(t.Context(), []sidekiq.Job{job("b")}); err != nil {
		t.Error(err)
	}
	close(proceed)
	if err := <-pushed; err != nil {
		t.Errorf("the push under way: %v", err)
	}
	for server, want := range map[*miniredis.Miniredis]string{first: "scout:a", second: "scout:b"} {
		if !server.Exists(want) {
			t.Errorf("%s is missing", want)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); first.CurrentConnectionCount() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the former client was not closed")
		}
	}
}

// Unconfirmed writes of a push that began before the client was swapped count.
func TestUnconfirmedAfterSwap(t *testing.T) {
	redis := miniredis.RunT(t)
	started, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	redis.Server().SetPreHook(func(p *server.Peer, command string, _ ...string) bool {
		if command != "WAIT" {
			return false
		}
		once.Do(func() { close(started); <-proceed })
		p.WriteInt(0) // no replica has confirmed
		return true
	})
	c := configFor(redis.Addr(), "")
	c.Wait = sidekiq.Wait{Replicas: 1}
	link := newLink(t, c, nil)
	link.RetryFor = time.Nanosecond
	first, err := link.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	link.SwapClient(c, first)
	pushed := make(chan error)
	go func() {
		_, err := link.Push(t.Context(), []sidekiq.Job{job("a")})
		pushed <- err
	}()
	<-started
	next, err := link.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	link.SwapClient(c, next)
	close(proceed)
	if err := <-pushed; !errors.Is(err, sidekiq.ErrUnconfirmed) {
		t.Errorf("the push under way: %v", err)
	}
	if n := link.Unconfirmed(); n != 1 {
		t.Errorf("%d writes unconfirmed, want 1", n)
	}
}

// A push or a check of readiness whose credentials Redis rejects goes on with those
// that are configured now.
func TestRenewCredentials(t *testing.T) {
	for name, call := range map[string]func(*Link) error{
		"push": func(l *Link) error {
			results, err := l.Push(t.Context(), []sidekiq.Job{job("a"), job("b")})
			for _, result := range results {
				err = errors.Join(err, result.Err)
			}
			return err
		},
		"ready": func(l *Link) error {
			_ = l.Ready(t.Context(), "q") // finds the idle connection cut
			return l.Ready(t.Context(), "q")
		},
	} {
		t.Run(name, func(t *testing.T) {
			redis := miniredis.RunT(t)
			redis.RequireAuth("old")
			link := newLink(t, configFor(redis.Addr(), "old"), func() (config.Redis, error) { return configFor(redis.Addr(), "new"), nil })
			if err := call(link); err != nil {
				t.Fatal(err)
			}
			rotatePassword(t, redis, "new")
			if err := call(link); err != nil {
				t.Errorf("after the rotation: %v", err)
			}
		})
	}
}

// Without working credentials, Push reports that they were rejected. It loads the
// configuration again only after some time.
func TestCredentialsNotRenewed(t *testing.T) {
	unavailable := errors.New("Parameter Store is unavailable")
	for name, c := range map[string]struct {
		password string
		err      error
	}{
		"load fails":     {err: unavailable},
		"unchanged":      {password: "old"},
		"wrong as well":  {password: "wrong"},
		"URL is invalid": {password: "a:b@c@"},
	} {
		t.Run(name, func(t *testing.T) {
			redis := miniredis.RunT(t)
			redis.RequireAuth("new")
			loads := 0
			link := newLink(t, configFor(redis.Addr(), "old"), func() (config.Redis, error) {
				loads++
				return configFor(redis.Addr(), c.password), c.err
			})
			for range 3 {
				results, err := link.Push(t.Context(), []sidekiq.Job{job("a")})
				if !errors.Is(err, sidekiq.ErrCredentials) || !errors.Is(results[0].Err, sidekiq.ErrCredentials) {
					t.Errorf("error = %v, result = %v", err, results[0].Err)
				}
			}
			if loads != 1 {
				t.Errorf("the configuration was loaded %d times, want once", loads)
			}
			link.loadedAt = time.Now().Add(-loadInterval)
			_ = link.Ready(t.Context())
			if loads != 2 {
				t.Errorf("after %v it was loaded %d times, want twice", loadInterval, loads)
			}
		})
	}
}

// After a rotation during many pushes, all of them succeed, and the configuration
// is loaded once for all.
func TestRenewConcurrently(t *testing.T) {
	redis := miniredis.RunT(t)
	redis.RequireAuth("old")
	var loads atomic.Int32
	link := newLink(t, configFor(redis.Addr(), "old"), func() (config.Redis, error) {
		loads.Add(1)
		return configFor(redis.Addr(), "new"), nil
	})
	rotatePassword(t, redis, "new")
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			if _, err := link.Push(t.Context(), []sidekiq.Job{job(fmt.Sprint(i))}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := loads.Load(); n != 1 {
		t.Errorf("%d loads, want 1", n)
	}
	if list, _ := redis.List("queue:q"); len(list) != 32 {
		t.Errorf("%d jobs, want 32", len(list))
	}
}

// Pushes succeed while clients are swapped all the time.
func TestSwapClientUnderLoad(t *testing.T) {
	redis := miniredis.RunT(t)
	c := configFor(redis.Addr(), "")
	link := newLink(t, c, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := link.Push(t.Context(), []sidekiq.Job{job(fmt.Sprintf("%d-%d", i, n))}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 200 {
		next, err := link.NewClient(c)
		if err != nil {
			t.Fatal(err)
		}
		link.SwapClient(c, next)
		time.Sleep(time.Millisecond)
	}
	cancel()
	wg.Wait()
}
