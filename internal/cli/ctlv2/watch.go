package ctlv2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"sync"
)

// cleared is the code of a history that does not reach back far enough.
const cleared = 401

// events calls f with each event of a key until f wants no more or SIGINT comes.
func (s *session) events(c *client, key string, f func(*response) (more bool, err error)) error {
	ctx, stop := s.env.Interrupted(s.ctx)
	defer stop()
	next := s.options.number("after-index")
	if next > 0 {
		next++
	}
	for {
		q := url.Values{"wait": {"true"}, "recursive": {strconv.FormatBool(s.options.on("recursive"))}}
		if next > 0 {
			q.Set("waitIndex", strconv.FormatUint(next, 10))
		}
		r, err := c.key(ctx, http.MethodGet, key, q, nil)
		var refused *serverError
		switch {
		case ctx.Err() != nil:
			return context.Cause(s.ctx)
		case errors.As(err, &refused) && refused.Code == cleared && next > 0:
			next = refused.Index + 1
			continue
		case err != nil:
			return err
		}
		next = r.Node.Modified + 1
		if more, err := f(r); !more || err != nil {
			return err
		}
	}
}

func watch(s *session, args []string) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usageError("key required")
	}
	return s.events(c, args[0], func(r *response) (bool, error) {
		if r.Node.Dir {
			return true, nil
		}
		if s.options.on("recursive") {
			fmt.Fprintf(s.env.Out, "[%s] %s\n", r.Action, r.Node.Key)
		}
		return s.options.on("forever"), s.show(r)
	})
}

// execWatch runs a command at each event, without waiting for the one before.
func execWatch(s *session, args []string) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	key, command := "", s.behind
	switch {
	case len(args) == 1 && len(command) > 0:
		key = args[0]
	case len(args) == 0 && len(command) > 1:
		key, command = command[len(command)-1], command[:len(command)-1]
	case len(args) > 1:
		key, command = args[len(args)-1], append(args[:len(args)-1:len(args)-1], command...)
	default:
		return usageError("key and command to exec required")
	}
	var running sync.WaitGroup
	defer running.Wait()
	return s.events(c, key, func(r *response) (bool, error) {
		if r.Node.Dir {
			fmt.Fprintf(s.env.Err, "Ignored dir %s change\n", r.Node.Key)
			return true, nil
		}
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = append(s.env.Environ[:len(s.env.Environ):len(s.env.Environ)],
			"ETCD_WATCH_ACTION="+r.Action, "ETCD_WATCH_MODIFIED_INDEX="+strconv.FormatUint(r.Node.Modified, 10),
			"ETCD_WATCH_KEY="+r.Node.Key, "ETCD_WATCH_VALUE="+r.Node.Value)
		cmd.Stdout, cmd.Stderr = s.env.Out, s.env.Err
		if err := cmd.Start(); err != nil {
			fmt.Fprint(s.env.Err, err)
			return false, &failure{code: exitUsage}
		}
		running.Go(func() { _ = cmd.Wait() }) // how it ends is its own affair
		return true, nil
	})
}
