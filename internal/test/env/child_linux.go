package env

import (
	"os/exec"
	"syscall"
)

// DieWithTest makes the kernel kill a command that is not started yet when this
// process ends, in whatever way, such as by a timeout of go test: no cleanup runs then.
func DieWithTest(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
