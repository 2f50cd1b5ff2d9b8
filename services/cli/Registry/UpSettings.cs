namespace Qbb.Cli.Registry;

/// <summary>How everything runs in one process.</summary>
/// <param name="Data">Folder of everything that is kept.</param>
/// <param name="Port">On this machine; 0 for any that is free.</param>
/// <param name="Device">Of the workers; null for the GPU where there is one.</param>
/// <param name="Threads">Of the CPU's methods.</param>
/// <param name="Recipes">What runs on every upload, by name.</param>
/// <param name="More">Settings as Section:Name=value, above all others.</param>
internal sealed record UpSettings(
    string Data, int Port, string? Device, int Threads, IReadOnlyDictionary<string, PipelineRecipe> Recipes, IReadOnlyList<string> More)
{
    /// <summary>How a server that a command runs logs: a line each, and none on stdout, which belongs to the result.</summary>
    public static readonly string[] Logging =
    [
        "Logging:LogLevel:Default=Warning",
        "Logging:LogLevel:Qbb=Information",
        "Logging:Console:LogToStandardErrorThreshold=Trace",
        "Logging:Console:FormatterName=simple",
        "Logging:Console:FormatterOptions:SingleLine=true",
        "Logging:Console:FormatterOptions:TimestampFormat=HH:mm:ss ",
    ];

    /// <summary>The artifact store of a data folder.</summary>
    public static string StoreOf(string data) => Path.Combine(data, "artifacts");

    /// <summary>The settings of all services.</summary>
    public string[] ToArguments()
    {
        List<string> settings =
        [
            "Bus:Transport=Memory",
            $"Artifacts:Folder={StoreOf(Data)}",
            "Database:Provider=Sqlite",
            $"Database:ConnectionString=Data Source={Path.Combine(Data, "registry.db")}",
            $"Worker:Folder={Path.Combine(Data, "work")}",
            $"Worker:Threads={Threads}",
            "Registry:DefaultPolicy:Name=default",
            .. Logging,
        ];
        // The registry loads no libtorch: what its workers calculate in by default it has to be told.
        var isGpu = Device?.StartsWith("cuda", StringComparison.Ordinal) ?? torch.cuda.is_available();
        if (isGpu)
            settings.Add($"Pipelines:Type={Precision.Bf16}");
        settings.AddRange([$"Pipelines:Workers:Gpu={isGpu}", $"Pipelines:Workers:Cores={Threads}", $"Pipelines:Workers:CpuBf16={Natives.CpuHasBf16}"]);
        if (Device is not null)
            settings.Add($"Worker:Device={Device}");
        settings.AddRange(Recipes.Select(recipe => $"Registry:DefaultPolicy:Recipes:{recipe.Key}={recipe.Value.ToJson()}"));
        settings.AddRange(More);
        return [.. settings.Select(setting => "--" + setting)];
    }
}
