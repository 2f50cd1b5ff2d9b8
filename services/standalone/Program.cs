using Qbb.Standalone.Commands;

return await CommandLine.RunAsync(args);
