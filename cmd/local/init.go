package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// An initCommand holds the flags of scout init.
type initCommand struct {
	*options
	queue, region, endpoint, workers string
	force                            bool
}

func newInitCommand(o *options) *cobra.Command {
	c := &initCommand{options: o}
	cmd := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a first configuration, optionally from a queue's subscriptions",
		Long: `Write a first configuration with comments to FILE, scout.yml if not given, or to
standard output if FILE is -. An existing file is overwritten only with --force.

With --queue, the routes come from SQS and SNS: a route for each topic that the
queue is subscribed to, queue.plain for those with raw message delivery, and routes
for the buckets and EventBridge rules that the queue's policy allows. Region and
credentials are those of every program that uses an AWS SDK.

Classes are proposed by name: OrderWorker for the topic orders. With --workers, the
app's manifest, they are classes of the app. If none matches a topic, the file and
the output report it, and scout check rejects the file until it has a class.`,
		Example: `  scout init
  scout init --queue myapp_queue --workers workers.json
  scout init --queue myapp_queue --region eu-west-1 -`,
		Args: cobra.MaximumNArgs(1),
		RunE: withExitCode(c.run),
	}
	cmd.Flags().StringVar(&c.queue, "queue", "", "`NAME` of an SQS queue to make routes for")
	cmd.Flags().StringVar(&c.region, "region", "", "AWS `REGION` of the queue, for aws.region")
	cmd.Flags().StringVar(&c.endpoint, "endpoint", "", "`URL` of an endpoint other than AWS's, for aws.endpoint")
	cmd.Flags().StringVar(&c.workers, "workers", "", "`FILE` with the app's manifest, for workers")
	cmd.Flags().BoolVar(&c.force, "force", false, "overwrite an existing file")
	return cmd
}

func (c *initCommand) run(cmd *cobra.Command, args []string) error {
	if err := c.takeFile(args); err != nil {
		return err
	}
	file := c.config
	switch {
	case file == "":
		file = "scout.yml"
	case strings.HasPrefix(file, "ssm:"):
		return &failedError{errors.New("scout init writes files only; use - and pass the output to aws ssm put-parameter"), exitUsage}
	}
	if _, err := os.Lstat(file); err == nil && file != "-" && !c.force {
		return &failedError{fmt.Errorf("%s exists; give another FILE, or --force to overwrite it", file), exitUsage}
	}
	d := draft{queue: c.queue, region: c.region, endpoint: c.endpoint, workers: c.workers}
	loaded, err := d.load(cmd.Context())
	if err != nil {
		return &failedError{err, exitUsage}
	}
	if c.workers != "" {
		d.workers, d.classes = relativeTo(file, c.workers), loaded.Workers.Classes
	}
	if c.queue != "" {
		if err := d.addRoutesFromAWS(cmd.Context(), loaded, cmd.ErrOrStderr()); err != nil {
			return err
		}
	}
	if err := c.write(file, d.render(), cmd.OutOrStdout()); err != nil {
		return err
	}
	for _, name := range d.unknown {
		fmt.Fprintf(cmd.ErrOrStderr(), "scout: no class of %s matches %s; fill it in\n", c.workers, name)
	}
	return nil
}

// write writes the configuration to a file, or to stdout if the file is -.
func (c *initCommand) write(file, text string, stdout io.Writer) error {
	if file == "-" {
		_, err := io.WriteString(stdout, text)
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if c.force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(file, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return &failedError{fmt.Errorf("%s exists; give another FILE, or --force to overwrite it", file), exitUsage}
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Wrote %s. Next: edit it, and run scout check %[1]s\n", file)
	return nil
}

// relativeTo returns the path of a file relative to the directory of the file config.
func relativeTo(config, file string) string {
	if config == "-" || filepath.IsAbs(file) {
		return file
	}
	relative, err := filepath.Rel(filepath.Dir(config), file)
	if err != nil {
		return file
	}
	return relative
}
