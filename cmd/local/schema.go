package main

import (
	"github.com/spf13/cobra"

	"scout/config"
)

func newSchemaCommand() *cobra.Command {
	var tests bool
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors",
		Long: `Print the JSON Schema (2020-12) of the configuration. With it, an editor completes
keys, shows their descriptions, and marks mistakes. Many editors use the schema
that the first line of a YAML file names:

  # yaml-language-server: $schema=scout.schema.json

The schema allows everything that Scout accepts. scout check finds more mistakes,
such as keys that exclude each other.`,
		Example: `  scout schema > scout.schema.json
  scout schema --tests > scout_test.schema.json`,
		Args: cobra.NoArgs,
		RunE: withExitCode(func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(config.Schema(tests))
			return err
		}),
	}
	cmd.Flags().BoolVar(&tests, "tests", false, "print the schema of a file of tests")
	return cmd
}
