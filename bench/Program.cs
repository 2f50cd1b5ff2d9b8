using System.CommandLine;
using Qbb.Bench.Commands;
using Qbb.Cli.Commands;

return await CommandLine.RunAsync(args, new ProgramCommand("qbb-bench", "Measures qbb on this machine, and trains the sample teacher.")
{
    new BenchModelCommand(),
    new BenchDecomposeCommand(),
    new BenchSampleCommand(),
    new BenchDistillCommand(),
    new BenchKernelsCommand(),
    new BenchDecodeCommand(),
    new BenchLlamaCppCommand(),
    new BenchCacheCommand(),
    new BenchServeCommand(),
    new BenchTransferCommand(),
    new BenchListsCommand(),
    new BenchTwinCommand(),
    new BenchGgmlCommand(),
    new TrainCommand(),
});
