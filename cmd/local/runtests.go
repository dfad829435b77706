package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/internal/configtest"
)

func newTestCommand(o *options) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "test [FILE]...",
		Short: "Run the tests of the configuration: messages and the jobs that they must make",
		Long: `Run the tests of the configuration. A test is a message with the expected result:
exactly these jobs, no job, or a rejection with a reason. Scout pushes nothing,
connects to nothing, and needs none of the secrets in the configuration.

Without --config and SCOUT_CONFIG, the configuration is ./scout.yml. Scout runs the
tests under its key tests and those in a file beside it: for scout.yml, a list in
scout_test.yml. With FILEs, it runs only the tests in these.

The exit code is 0 if all tests pass, 1 if one fails, and 2 if the configuration or
a file of tests is invalid, or if there is no test.`,
		Example: `  scout test -c scout.yml
  scout test -c scout.yml --output junit orders_test.yml > junit.xml`,
		RunE: withExitCode(func(cmd *cobra.Command, files []string) error {
			results, err := o.runTests(cmd.Context(), cmd.ErrOrStderr(), files)
			if err != nil {
				return &failedError{err, exitUsage}
			}
			failed := 0
			for _, r := range results {
				if len(r.Differences) > 0 {
					failed++
				}
			}
			w := cmd.OutOrStdout()
			switch format {
			case "json":
				err = writeJSON(w, testReport(results, failed))
			case "junit":
				err = writeJUnit(w, results)
			default:
				writeTestResults(w, results, failed)
			}
			if err == nil && failed > 0 {
				return fmt.Errorf("%d of %s failed", failed, countTests(len(results)))
			}
			return err
		}),
	}
	addOutputFlag(cmd, &format, "text", "json", "junit")
	return cmd
}

func countTests(n int) string {
	if n == 1 {
		return "1 test"
	}
	return fmt.Sprintf("%d tests", n)
}

// runTests runs the tests of the files or, if there are none, those of the
// configuration and of the file beside it.
func (o *options) runTests(ctx context.Context, stderr io.Writer, files []string) ([]configtest.Result, error) {
	const file = "scout.yml"
	if _, err := os.Stat(file); err == nil && o.config == "" && os.Getenv("SCOUT_CONFIG") == "" {
		o.config = file
	}
	// Tests push nothing and therefore need no secrets.
	c, err := o.load(ctx, config.Loader{LocalRedis: "redis://localhost", Tests: len(files) == 0})
	if err != nil {
		return nil, err
	}
	warnOfMissingManifest(stderr, c)
	beside := ""
	if len(files) == 0 {
		if beside = o.testFile(); fileExists(beside) {
			files = []string{beside}
		}
	}
	tests := c.Tests
	var errs []error
	for _, file := range files {
		more, err := c.LoadTests(file)
		tests, errs = append(tests, more...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(tests) == 0 {
		hint := ""
		if beside != "" {
			hint = " or as a list to " + beside
		}
		return nil, errors.New("no tests; add some to the key tests of the configuration" + hint)
	}
	return configtest.Run(c, tests)
}

// testFile returns the name of the file of tests beside the configuration, "" if the
// configuration is not a file.
func (o *options) testFile() string {
	name := o.config
	if name == "" {
		name = strings.TrimRight(os.Getenv("SCOUT_CONFIG"), "\r\n")
	}
	if !fileExists(name) {
		return ""
	}
	extension := filepath.Ext(name)
	return strings.TrimSuffix(name, extension) + "_test" + extension
}

// fileExists reports whether a file exists. It also reports true if it cannot tell;
// reading the file then returns the reason.
func fileExists(name string) bool {
	if name == "" || strings.Contains(name, "\n") {
		return false
	}
	_, err := os.Stat(name)
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}
