package testkit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	startPatience = 30 * time.Second // until a server answers
	stopPatience  = 20 * time.Second // until a server that was asked to end has ended
	callPatience  = 2 * time.Second  // until one call has been answered
	pollInterval  = 10 * time.Millisecond
)

// Server is one member, by itself if it is not in a Cluster: a process with ports
// and a data directory of its own.
type Server struct {
	Name    string
	Addr    string // host:port of its client listener
	DataDir string

	program string
	cluster string // the setting initial-cluster
	state   string // the setting initial-cluster-state
	flags   []string
	site    Site
	block   *Block
	log     *os.File
	cmd     *exec.Cmd
	ended   <-chan struct{} // closed when the process has ended
	asked   bool            // whether it was us who ended it
}

// NewServer is a server that has not been started (Restart starts it): program
// with a data directory below dir, which does not exist yet, and free ports.
func NewServer(program, dir string, ports *Ports, flags ...string) (*Server, error) {
	s, err := newMember("default", program, dir, ports, loopback{}, flags)
	if err != nil {
		return nil, err
	}
	s.cluster, s.state = s.Name+"="+s.PeerURL(), "new"
	return s, nil
}

// newMember is a member that does not know its cluster yet.
func newMember(name, program, dir string, ports *Ports, network Network, flags []string) (*Server, error) {
	block, err := ports.Take()
	if err != nil {
		return nil, err
	}
	site, err := network.Site(name, block)
	if err != nil {
		block.Release()
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		block.Release()
		return nil, err
	}
	return &Server{
		Name: name, Addr: site.Client, DataDir: filepath.Join(dir, "data"),
		program: program, flags: flags, site: site, block: block, log: log,
	}, nil
}

// StartServer runs program with an empty data directory below dir, on free
// ports, and waits until it answers a linearizable read.
func StartServer(program, dir string, ports *Ports, flags ...string) (*Server, error) {
	s, err := NewServer(program, dir, ports, flags...)
	if err != nil {
		return nil, err
	}
	if err := s.Restart(); err != nil {
		err = fmt.Errorf("%w; its log ends with:\n%s", err, s.Log(20))
		s.Kill()
		return nil, err
	}
	return s, nil
}

// Restart starts the process of a server that does not run, on the same ports and
// directory, and waits until it answers.
func (s *Server) Restart() error {
	if err := s.Launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	return s.Ready(ctx)
}

// Launch is Restart without the wait.
func (s *Server) Launch() error {
	client, peer := "http://"+s.Addr, s.PeerURL()
	args := append([]string{
		"--name", s.Name, "--data-dir", s.DataDir,
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", "http://" + s.site.Peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", s.cluster, "--initial-cluster-state", s.state,
	}, s.flags...)
	args = append(append(slices.Clone(s.site.Wrap), s.program), args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = CleanEnv(), s.log, s.log
	ended, err := Start(cmd)
	if err != nil {
		return err
	}
	s.cmd, s.ended, s.asked = cmd, ended, false
	return nil
}

// PeerURL is where other members reach the server.
func (s *Server) PeerURL() string { return "http://" + s.site.Reached }

// Pid is the process ID of the server.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Ended is closed when the process has ended, by itself or not.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// Ready waits until the server answers a read that needs a leader.
func (s *Server) Ready(ctx context.Context) error { return s.wait(ctx, s.ask) }

// wait tries one call until it succeeds.
func (s *Server) wait(ctx context.Context, try func(context.Context) error) error {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	var last error
	for {
		select {
		case <-s.ended:
			return fmt.Errorf("server %s has ended (%v)", s.Name, s.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("server %s does not answer: %w", s.Name, errors.Join(ctx.Err(), last))
		case <-poll.C:
			if last = try(ctx); last == nil {
				return nil
			}
		}
	}
}

// ask tries one read.
func (s *Server) ask(ctx context.Context) error {
	_, err := s.read(ctx)
	return err
}

// call makes one call over a connection of its own. It looks first whether anybody
// listens: a gRPC connection that was refused would wait for a second before it is
// tried again.
func (s *Server) call(ctx context.Context, do func(context.Context, *grpc.ClientConn) error) error {
	probe, err := net.Dial("tcp", s.Addr)
	if err != nil {
		return err
	}
	probe.Close()
	conn, err := grpc.NewClient(s.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	return do(ctx, conn)
}

// Stop asks the server to end, as an operator would, if that has not been done
// before, and releases its ports. It reports what went wrong in the server's life.
func (s *Server) Stop() error {
	defer s.release()
	if s.Running() {
		if err := s.signalAndWait(syscall.SIGTERM); err != nil {
			return err
		}
	} else if !s.asked {
		return fmt.Errorf("the server had ended by itself (%v); its log ends with:\n%s", s.cmd.ProcessState, s.Log(40))
	}
	if _, race, found := strings.Cut(s.Log(math.MaxInt), "WARNING: DATA RACE"); found {
		race, _, _ = strings.Cut(race, "==================")
		return fmt.Errorf("a data race in the server:%s", race)
	}
	return nil
}

// Kill ends the server by force and releases its ports. It is allowed after Stop.
func (s *Server) Kill() {
	if s.cmd != nil {
		_ = s.signalAndWait(syscall.SIGKILL)
	}
	s.release()
}

// Crash ends the server by force, if it has not ended yet; Restart brings it back.
func (s *Server) Crash() error { return s.signalAndWait(syscall.SIGKILL) }

// Shutdown asks the server to end, as an operator would; Restart brings it back.
func (s *Server) Shutdown() error { return s.signalAndWait(syscall.SIGTERM) }

// Pause stops the process where it is, until Resume, Crash or Kill.
func (s *Server) Pause() error {
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return untilStopped(s.cmd.Process.Pid)
}

// Resume lets a process go on that was paused.
func (s *Server) Resume() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Running tells whether there is a process, paused or not.
func (s *Server) Running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

func (s *Server) signalAndWait(signal syscall.Signal) error {
	s.asked = s.asked || s.Running() || signal == syscall.SIGKILL
	// A process that is paused looks at no other signal but the last resort.
	for _, sent := range []syscall.Signal{signal, syscall.SIGCONT} {
		if err := s.cmd.Process.Signal(sent); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(stopPatience):
		_ = s.cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("the server had not ended %s after %v; its log ends with:\n%s", stopPatience, signal, s.Log(20))
	}
}

func (s *Server) release() {
	s.log.Close()
	s.block.Release()
}

// Log is the end of what the server has printed.
func (s *Server) Log(lines int) string {
	text, err := os.ReadFile(s.log.Name())
	if err != nil {
		return err.Error()
	}
	return LastLines(string(text), lines)
}
