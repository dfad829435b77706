package env

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestDieWithTest kills a process that has started another.
func TestDieWithTest(t *testing.T) {
	if os.Getenv("SCOUT_TEST_PARENT") != "" {
		cmd := exec.Command("sleep", "600")
		DieWithTest(cmd)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		fmt.Println("started", cmd.Process.Pid)
		select {}
	}
	parent := exec.Command(os.Args[0], "-test.run", "^TestDieWithTest$")
	parent.Env = append(os.Environ(), "SCOUT_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	for lines := bufio.NewScanner(out); child == 0 && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "started %d", &child)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	if child == 0 {
		t.Fatal("the process has not started another")
	}
	for deadline := time.Now().Add(time.Minute); isRunning(child); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still running", child)
		}
	}
}

// isRunning reports whether a process exists and has not ended: nobody may have
// waited for it.
func isRunning(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
