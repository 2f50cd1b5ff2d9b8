using System.CommandLine;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Cli.Loading;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;
using Qbb.Hosting;
using Qbb.Hosting.Telemetry;
using Qbb.Inference.Decoding;
using Qbb.Inference.Serving;
using Qbb.Inference.Serving.OpenAi;
using Qbb.Models.Decoder;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb serve</c>: OpenAI's API for one model.</summary>
internal sealed class ServeCommand : AsyncCommand
{
    private const string KeyVariable = "QBB_API_KEY";
    private const string KeyFileVariable = KeyVariable + "_FILE";

    private readonly Argument<string> _model = SharedOptions.Model("A Hugging Face folder, a GGUF file, hf:OWNER/NAME on the hub, or MODEL@VERSION (a number or an alias) in a registry.");
    private readonly Option<string> _registry = RegistryAddress.Option();
    private readonly Option<int> _port = LocalPort.Option(8088);
    private readonly Option<string?> _urls = new("--urls") { Description = "Addresses to listen at instead, separated by semicolons, such as http://0.0.0.0:8088; others than this machine's own need a key." };
    private readonly Option<string?> _key = new("--api-key") { Description = $"The key that requests must send. Default: the environment variable {KeyVariable}, or the first line of the file that {KeyFileVariable} names." };
    private readonly Option<string?> _name = new("--name") { Description = "By which requests name the model. Default: the name of its folder or file." };
    private readonly Option<int> _parallel = new("--parallel") { Description = "Sequences that are decoded at the same time; further requests wait.", DefaultValueFactory = _ => 8 };
    private readonly Option<int> _queue = new("--queue") { Description = "Requests that may wait; further ones are refused with status 429.", DefaultValueFactory = _ => 64 };
    private readonly Option<int?> _context = new("--context") { Description = "Most tokens of a prompt with its answer. Default: the model's context length." };
    private readonly Option<int> _cache = new("--cache-tokens") { Description = "Tokens of ended requests that are kept for prompts that begin alike; 0 for none.", DefaultValueFactory = _ => 8192 };
    private readonly Option<bool> _useConfig = new("--use-generation-config")
    {
        Description = "Take temperature, top-k, top-p, min-p and repetition penalty from the model's generation_config.json (GGUF: general.sampling), where a request does not give them.",
    };
    private readonly Option<int?> _bases = new("--bases") { Description = "Of a model that was quantized with --nested, the first n bases alone. Default: all." };
    private readonly Option<int?> _degrade = new("--degrade")
    {
        Description = "Of a nested model: requests that start while others wait get the first n bases alone, and their answers say so. Default: never.",
    };
    private readonly ComputeOptions _compute = new();
    private readonly Option<int?> _cacheBits = SharedOptions.CacheBits();

    public ServeCommand() : base("serve", "Serves a model by OpenAI's API: /v1/completions, /v1/chat/completions and /v1/models. Ctrl+C stops it.",
        "qbb serve OUT",
        "qbb serve hf:HuggingFaceTB/SmolLM2-135M-Instruct --port 9000",
        "qbb serve tiny@champion",
        "QBB_API_KEY=secret qbb serve OUT --urls http://0.0.0.0:8088")
    {
        Arguments.Add(_model);
        foreach (var option in (Option[])[_registry, _port, _urls, _key, _name, _parallel, _queue, _context, _cache, _useConfig, _bases, _degrade, _cacheBits, .. _compute.All])
            Options.Add(option);
    }

    protected override async Task RunAsync(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var key = parsed.GetValue(_key) ?? Environment.GetEnvironmentVariable(KeyVariable) ?? KeyOfFile();
        if (key is not null && string.IsNullOrWhiteSpace(key))
            throw new InvalidInputException("the API key is empty", $"give one with --api-key or {KeyVariable}, or neither to serve this machine alone");
        var urls = Addresses(parsed, key);
        var model = parsed.GetRequiredValue(_model);
        using var registry = RegistryModels.IsMeant(model) ? RegistryAddress.Connect(parsed, _registry, output) : null;
        var (path, version) = await RegistryModels.LocalAsync(model, registry, output, cancel);
        using var first = Open(parsed, path, NameOf(model), version);
        var served = first.Served;
        await LocalPort.RunAsync(parsed.GetRequiredValue(_port), async () =>
        {
            string[] settings = [$"Urls={urls}", .. UpSettings.Logging];
            await using var app = ServiceHost.Build([.. settings.Select(setting => "--" + setting)], "serve", urls, builder =>
            {
                // Kestrel would listen there too, or there alone.
                if (builder.Configuration.GetSection("Kestrel:Endpoints").Exists())
                    throw new InvalidInputException("the setting Kestrel:Endpoints has no effect on qbb serve", "unset Kestrel__Endpoints__…, and give addresses with --urls");
                builder.AddMetricsRoute();
                builder.Services.AddServing(served, first.Model.Decoder, key, first.Smaller?.Decoder, first);
                if (version is not null && ModelReference.ParseVersion(model) is var (name, alias) && !int.TryParse(alias, out _))
                {
                    builder.Services.AddHostedService(services => ActivatorUtilities.CreateInstance<AliasFollower>(services, registry!, name, alias, version, (VersionView next, string folder) =>
                    {
                        var loaded = Open(parsed, folder, name, next);
                        services.GetRequiredService<ServedModels>().Serve(loaded.Served, loaded.Model.Decoder, loaded.Smaller?.Decoder, loaded);
                    }));
                }
            }, app =>
            {
                app.MapServing();
                app.MapMetrics();
            }, hasBus: false);
            await ServiceHost.StartAsync(app, cancel);
            Announce(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First(), served, key is not null, output);
            using var stop = cancel.Register(app.Lifetime.StopApplication);
            await app.WaitForShutdownAsync(CancellationToken.None);
        });
    }

    private static string? KeyOfFile()
    {
        if (Environment.GetEnvironmentVariable(KeyFileVariable) is not { Length: > 0 } path)
            return null;
        try
        {
            return File.ReadLines(path).FirstOrDefault()?.Trim() ?? "";
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"the API key cannot be read from {path}: {error.Message}", $"set {KeyFileVariable} to a file with the key, or unset it");
        }
    }

    private LoadedModels Open(ParseResult parsed, string path, string name, VersionView? version)
    {
        TextModel? model = null, smaller = null;
        try
        {
            model = TextModel.Open(path, _compute, parsed, null, parsed.GetValue(_bases), parsed.GetValue(_cacheBits), config => Limits(parsed, config));
            smaller = Smaller(parsed, model.Source, bases => TextModel.Open(path, _compute, parsed, null, bases, parsed.GetValue(_cacheBits)));
            var limits = Limits(parsed, model.Decoder.Config);
            var served = ServedModel.Of(model.Source, model.Tokenizer, parsed.GetValue(_name) ?? name, model.Decoder.Config.VocabularySize, limits, parsed.GetValue(_useConfig), parsed.GetValue(_degrade), version?.Version);
            return new(served, model, smaller);
        }
        catch
        {
            smaller?.Dispose();
            model?.Dispose();
            throw;
        }
    }

    /// <summary>Where to listen. Whoever reaches more than this machine needs a key.</summary>
    private string Addresses(ParseResult parsed, string? key)
    {
        if (parsed.GetValue(_urls) is not { } urls)
        {
            LocalPort.Check(parsed.GetRequiredValue(_port));
            return LocalPort.Url(parsed.GetRequiredValue(_port));
        }
        if (parsed.GetResult(_port) is { Implicit: false })
            throw new UsageException("--urls and --port do not go together: write the port into the address");
        foreach (var url in urls.Split(';'))
        {
            if (!url.StartsWith("http://", StringComparison.OrdinalIgnoreCase) || !Uri.TryCreate(url.Replace('*', '0').Replace('+', '0'), UriKind.Absolute, out _))
                throw new InvalidInputException($"invalid URL '{url}' in --urls", "write addresses such as http://0.0.0.0:8088; for https put a proxy in front");
        }
        return key is not null || ServiceHost.ListensHereOnly(urls) ? urls
            : throw new InvalidInputException($"{urls} can be reached from other machines, and there is no API key", $"set {KeyVariable} or --api-key, or listen at http://localhost:PORT");
    }

    /// <summary>The model that answers under load; null for none.</summary>
    private TextModel? Smaller(ParseResult parsed, ModelSource source, Func<int, TextModel> open)
    {
        if (parsed.GetValue(_degrade) is not { } bases)
            return null;
        if (!BasesGroups.IsNested(source))
            throw new InvalidInputException($"{source.Path}: has no smaller models within", "leave out --degrade, or quantize with --nested");
        return parsed.GetValue(_bases) is { } all && bases >= all ? throw new InvalidInputException($"--degrade is {bases}; it must be below --bases, which is {all}") : open(bases);
    }

    private ServingLimits Limits(ParseResult parsed, DecoderConfig config)
    {
        var context = parsed.GetValue(_context) ?? config.MaxPositions;
        if (context > config.MaxPositions)
            throw new InvalidInputException($"--context is {context}, but the model's context length is {config.MaxPositions}", $"use --context {config.MaxPositions} or less");
        return new()
        {
            Context = AtLeast(_context.Name, context, 2),
            Parallel = AtLeast(_parallel.Name, parsed.GetRequiredValue(_parallel), 1),
            Queue = AtLeast(_queue.Name, parsed.GetRequiredValue(_queue), 0),
            CacheTokens = AtLeast(_cache.Name, parsed.GetRequiredValue(_cache), 0),
        };

        static int AtLeast(string option, int value, int least) => value >= least ? value : throw new InvalidInputException($"{option} is {value}; it must be at least {least}");
    }

    /// <summary>OUT of ../OUT/, NAME of hf:OWNER/NAME, FILE of FILE.gguf, MODEL of MODEL@VERSION.</summary>
    private static string NameOf(string model)
    {
        if (RegistryModels.IsMeant(model))
            return model.Split('@')[0];
        var name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(model)));
        return name.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) ? name[..^".gguf".Length] : name;
    }

    /// <summary>A model with the smaller one that answers under load.</summary>
    private sealed class LoadedModels(ServedModel served, TextModel model, TextModel? smaller) : IDisposable
    {
        private int _isDisposed;

        public ServedModel Served => served;

        public TextModel Model => model;

        public TextModel? Smaller => smaller;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _isDisposed, 1) != 0)
                return;
            smaller?.Dispose();
            model.Dispose();
        }
    }

    private static void Announce(string address, ServedModel model, bool hasKey, Output output)
    {
        var (route, body) = model.Chat is null ? ("completions", """{"prompt": "The sea", "max_tokens": 32}""") : ("chat/completions", """{"messages": [{"role": "user", "content": "Hello"}]}""");
        var header = hasKey ? $" -H \"Authorization: Bearer ${KeyVariable}\"" : "";
        output.Result(new JsonObject { ["url"] = address, ["model"] = model.Name, ["context"] = model.Limits.Context, ["pid"] = Environment.ProcessId }, _ => Console.Out.WriteLine(
            $"""
            {model.Name} is served at {address} (context {model.Limits.Context}, {model.Limits.Parallel} sequences at a time)
            try    curl {address}/v1/{route} -H "Content-Type: application/json"{header} -d '{body}'
            stop   Ctrl+C
            """));
    }
}
