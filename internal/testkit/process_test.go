package testkit

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestStartedCommandDiesWithItsStarter runs this test's program a second time: it
// starts a command that would go on for ever, and is killed.
func TestStartedCommandDiesWithItsStarter(t *testing.T) {
	const variable = "TESTKIT_STARTER"
	if os.Getenv(variable) != "" {
		forever := exec.Command("tail", "-f", os.DevNull)
		if _, err := Start(forever); err != nil {
			t.Fatal(err)
		}
		fmt.Println(forever.Process.Pid)
		select {}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	starter := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	starter.Env = append(os.Environ(), variable+"=1")
	out, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(bufio.NewReader(out), &pid); err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatalf("process %d is not there before its starter ends", pid)
	}
	if err := starter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = starter.Wait() // it was killed
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for alive(pid) {
		select {
		case <-ctx.Done():
			t.Fatalf("process %d has survived its starter", pid)
		case <-poll.C:
		}
	}
}

// alive tells whether a process runs; one that has ended and that nobody has
// waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

func TestStartTellsOfWhatCannotRun(t *testing.T) {
	if _, err := Start(exec.Command("/nothing/here")); err == nil {
		t.Error("no error")
	}
}
