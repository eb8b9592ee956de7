package member

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bowline/internal/config"

	"github.com/coreos/go-systemd/v22/journal"
	"go.uber.org/zap"
)

// logged is what f writes to a log of these settings, which goes to the first of its
// outputs.
func logged(t *testing.T, c config.Log, f func(*zap.Logger, zap.AtomicLevel)) string {
	t.Helper()
	log, level, closer, err := NewLogger(c)
	if err != nil {
		t.Fatal(err)
	}
	f(log, level)
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(c.Outputs[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLinesOfTheLog(t *testing.T) {
	out := filepath.Join(t.TempDir(), "log")
	text := logged(t, config.Log{Level: "info", Format: "json", Outputs: []string{out, out + ".too"}}, func(log *zap.Logger, level zap.AtomicLevel) {
		log.Debug("hidden")
		level.SetLevel(zap.DebugLevel)
		log.Debug("seen", zap.Duration("took", 1500*time.Millisecond))
		log.Named("raft").Error("failed")
	})
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), text)
	}
	for i, want := range []string{
		`^{"level":"debug","ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d{4})","caller":"member/logger_test\.go:\d+","msg":"seen","took":"1\.5s"}$`,
		`^{"level":"error","ts":"[^"]+","logger":"raft","caller":"member/logger_test\.go:\d+","msg":"failed","stacktrace":"[^"]+"}$`,
	} {
		if !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %s", lines[i])
		}
	}
	if again, err := os.ReadFile(out + ".too"); err != nil || string(again) != text {
		t.Errorf("the second output has %q, %v", again, err)
	}
	plain := logged(t, config.Log{Level: "info", Format: "console", Outputs: []string{out + ".plain"}}, func(log *zap.Logger, _ zap.AtomicLevel) {
		log.Info("for people")
	})
	if json.Valid([]byte(plain)) || !strings.Contains(plain, "\tinfo\t") || !strings.Contains(plain, "for people") {
		t.Errorf("for the console: %q", plain)
	}
}

// TestTheLogIsRotated writes more than a file may hold, and finds it in the one kept.
func TestTheLogIsRotated(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "log")
	c := config.Log{Level: "info", Format: "json", Outputs: []string{out}, Rotation: &config.Rotation{MaxSizeMB: 1, MaxBackups: 1}}
	last := logged(t, c, func(log *zap.Logger, _ zap.AtomicLevel) {
		for range 40 {
			log.Info("much", zap.String("text", strings.Repeat("x", 64<<10)))
		}
	})
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	// How many of the former are kept is looked after in the background.
	if len(files) < 2 || len(last) > 1<<20 {
		t.Errorf("%d files, the last of %d bytes", len(files), len(last))
	}
}

func TestLogOutputsThatCannotBeOpened(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "none", "log")
	if _, _, _, err := NewLogger(config.Log{Level: "info", Outputs: []string{nowhere}}); err == nil || !strings.Contains(err.Error(), nowhere) {
		t.Errorf("%v", err)
	}
	if _, _, _, err := NewLogger(config.Log{Level: "loud"}); err == nil {
		t.Error("a level that there is not was accepted")
	}
}

func TestTheJournalGetsPriorities(t *testing.T) {
	var got []string
	var aside strings.Builder
	there := true
	o := &journalOutput{otherwise: &aside, send: func(message string, p journal.Priority, _ map[string]string) error {
		if !there {
			return errors.New("no journal")
		}
		got = append(got, fmt.Sprint(p, " ", message))
		return nil
	}}
	for _, line := range []string{`{"level":"debug"}`, `{"level":"warn"}`, `{"level":"fatal"}`, "plain"} {
		if n, err := o.Write([]byte(line + "\n")); n != len(line)+1 || err != nil {
			t.Errorf("%s: %d, %v", line, n, err)
		}
	}
	if want := []string{`7 {"level":"debug"}`, `4 {"level":"warn"}`, `2 {"level":"fatal"}`, "6 plain"}; !slices.Equal(got, want) {
		t.Errorf("sent are %q", got)
	}
	there = false
	if _, err := o.Write([]byte("lost?\n")); err != nil || aside.String() != "lost?\n" {
		t.Errorf("without a journal: %q, %v", aside.String(), err)
	}
}
