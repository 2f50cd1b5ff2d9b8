using Qbb.Cli.Commands;

return await CommandLine.RunAsync(args);
