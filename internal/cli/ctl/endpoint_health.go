package ctl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"bowline/internal/cli"
)

// endpointHealth is the command endpoint health.
type endpointHealth struct {
	*endpointSet
}

// health is what one endpoint answered, and its JSON form.
type health struct {
	Endpoint string `json:"endpoint"`
	Health   bool   `json:"health"`
	Took     string `json:"took"`
	Error    string `json:"error,omitempty"`
}

func (o *endpointHealth) run(ctx context.Context, env *Env, _ []string) error {
	s, err := env.prepare(ctx)
	if err != nil {
		return err
	}
	endpoints, err := o.list(ctx, s)
	if err != nil {
		return err
	}
	// One goroutine an endpoint, all waited for; the answers come in the order
	// in which they arrive.
	answers := make(chan health)
	for _, ep := range endpoints {
		go func() { answers <- s.checkHealth(ctx, ep) }()
	}
	var all []health
	healthy := true
	for range endpoints {
		h := <-answers
		all = append(all, h)
		healthy = healthy && h.Health
	}
	if err := s.printHealth(all); err != nil {
		return err
	}
	if !healthy {
		return errors.New("unhealthy cluster")
	}
	return nil
}

// checkHealth reads through consensus. That the key may not be read is as good
// an answer as any; an active alarm is not.
func (s *session) checkHealth(ctx context.Context, endpoint string) health {
	h := health{Endpoint: endpoint}
	client, err := s.dialEndpoint(ctx, endpoint)
	if err != nil {
		h.Error = err.Error()
		return h
	}
	defer client.Close()
	ctx, cancel := s.limit(ctx)
	defer cancel()
	start := time.Now()
	_, err = client.Get(ctx, "health")
	h.Took = time.Since(start).String()
	if err != nil && !errors.Is(err, rpctypes.ErrPermissionDenied) {
		h.Error = err.Error()
		return h
	}
	resp, err := client.AlarmList(ctx)
	if err != nil {
		h.Error = "Unable to fetch the alarm list"
		return h
	}
	if len(resp.Alarms) > 0 {
		h.Error = "Active Alarm(s): " + alarmNames(resp.Alarms)
		return h
	}
	h.Health = true
	return h
}

// alarmNames lists alarms, each followed by a blank.
func alarmNames(alarms []*pb.AlarmMember) string {
	var b strings.Builder
	for _, a := range alarms {
		switch a.Alarm {
		case pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT:
			b.WriteString(a.Alarm.String() + " ")
		default:
			b.WriteString("UNKNOWN ")
		}
	}
	return b.String()
}

// printHealth writes the answers; as text, unhealthy endpoints go to standard
// error.
func (s *session) printHealth(all []health) error {
	table := &cli.Table{Header: []string{"endpoint", "health", "took", "error"}}
	for _, h := range all {
		table.Rows = append(table.Rows, []string{h.Endpoint, fmt.Sprint(h.Health), h.Took, h.Error})
	}
	return s.Print(cli.Result{
		Table: table,
		JSON:  all,
		Simple: func(w *cli.TextWriter) {
			for _, h := range all {
				if h.Health {
					w.Linef("%s is healthy: successfully committed proposal: took = %s", h.Endpoint, h.Took)
				} else {
					fmt.Fprintf(s.env.Err, "%s is unhealthy: failed to commit proposal: %s\n", h.Endpoint, h.Error)
				}
			}
		},
		Fields: func(w *cli.FieldWriter) {
			for _, h := range all {
				w.Quoted("Endpoint", h.Endpoint)
				w.Value("Health", h.Health)
				w.Value("Took", h.Took)
				w.Value("Error", h.Error)
				w.Blank()
			}
		},
	})
}
