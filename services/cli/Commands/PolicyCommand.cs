using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb policy</c>: which recipes run on uploads of which models.</summary>
internal sealed class PolicyCommand : Command
{
    public PolicyCommand() : base("policy", "Lists, shows, sets and removes policies: which recipes run on uploads of which models.")
    {
        Subcommands.Add(new List());
        Subcommands.Add(new Show());
        Subcommands.Add(new Set());
        Subcommands.Add(new Remove());
    }

    private static Argument<string> NameArgument() => new("NAME") { Description = "The policy's name." };

    private sealed class List() : RegistryCommand("ls", "Lists policies.", "qbb policy ls")
    {
        protected override async Task RunAsync(IRegistryApi registry, ParseResult parsed, Output output, CancellationToken cancel)
        {
            var policies = (await registry.ListPoliciesAsync(cancel)).Items;
            output.Result(new JsonObject { ["policies"] = Json(policies) }, _ => RegistryTables.Print(policies));
        }
    }

    private sealed class Show : RegistryCommand
    {
        private readonly Argument<string> _name = NameArgument();

        public Show() : base("show", "Shows a policy with its recipes.", "qbb policy show default") => Arguments.Add(_name);

        protected override async Task RunAsync(IRegistryApi registry, ParseResult parsed, Output output, CancellationToken cancel)
        {
            var policy = await registry.GetPolicyAsync(parsed.GetRequiredValue(_name), cancel);
            output.Result(Json(policy).AsObject(), _ =>
            {
                RegistryTables.Print([policy]);
                foreach (var recipe in policy.Recipes)
                    Console.Out.WriteLine($"{recipe.Name}: {recipe.Recipe.ToJsonString()}");
            });
        }
    }

    private sealed class Set : RegistryCommand
    {
        private readonly Argument<string> _name = NameArgument();
        private readonly Option<string> _models = new("--models")
        {
            Description = "Names of models; * matches any characters, ? one.",
            HelpName = "PATTERN",
            DefaultValueFactory = _ => "*",
        };
        private readonly Option<string[]> _recipes = new("--recipe")
        {
            Description = "Recipes (JSON files) that run on every upload; each is named after its file.",
            AllowMultipleArgumentsPerToken = true,
            Required = true,
        };
        private readonly Option<string?> _mlflow = new("--mlflow") { Description = "Also take versions of this registered model from the registry's MLflow server, each once.", HelpName = "NAME" };
        private readonly Option<string?> _tag = new("--mlflow-tag") { Description = "With --mlflow: the tag that versions to take have, KEY or KEY:VALUE.", HelpName = "TAG" };
        private readonly Option<string?> _hub = new("--hf") { Description = "Also take this model of the Hugging Face hub, and each new commit of it once: hf:OWNER/NAME, hf:OWNER/NAME@REVISION, or hf:OWNER/NAME/FILE.gguf.", HelpName = "MODEL" };
        private readonly Option<string?> _oci = new("--oci") { Description = "Push new champions to an OCI registry of the setting Oci:Hosts: oci://HOST/NAME:TAG, with {model} and {version} in name and tag.", HelpName = "TARGET" };
        private readonly Option<double?> _kl = new("--max-kl") { Description = "Gate: largest KL to the model, nats per token." };
        private readonly Option<double?> _ratio = new("--max-perplexity-ratio") { Description = "Gate: largest perplexity over the model's." };
        private readonly Option<double?> _bits = new("--max-bits") { Description = "Gate: most bits per weight." };

        public Set() : base("set", "Creates or replaces a policy; it applies to uploads from now on.",
            "qbb policy set small --models 'llama-*' --recipe two-bases.json three-bases.json", "qbb policy set small --recipe two-bases.json --max-kl 0.1",
            "qbb policy set nightly --models llama --recipe two-bases.json --mlflow llama --mlflow-tag quantize:yes",
            "qbb policy set smol --models 'SmolLM2-*' --recipe two-bases.json --hf hf:HuggingFaceTB/SmolLM2-135M")
        {
            Arguments.Add(_name);
            foreach (var option in new Option[] { _models, _recipes, _mlflow, _tag, _hub, _oci, _kl, _ratio, _bits })
                Options.Add(option);
            Validators.Add(result =>
            {
                if (result.GetValue(_mlflow) is null != result.GetValue(_tag) is null)
                    result.AddError("--mlflow and --mlflow-tag go together");
            });
        }

        protected override async Task RunAsync(IRegistryApi registry, ParseResult parsed, Output output, CancellationToken cancel)
        {
            var recipes = RecipeFiles.ReadAll(parsed.GetRequiredValue(_recipes)).Select(recipe => new NamedRecipe(recipe.Key, JsonNode.Parse(recipe.Value.ToJson())!)).ToList();
            var gate = new Gate { MaxKl = parsed.GetValue(_kl), MaxPerplexityRatio = parsed.GetValue(_ratio), MaxBitsPerWeight = parsed.GetValue(_bits) };
            var source = parsed.GetValue(_mlflow) is { } name ? new MlflowSource(name, parsed.GetValue(_tag)!) : null;
            var policy = await registry.SetPolicyAsync(
                parsed.GetRequiredValue(_name), new PolicyChange(parsed.GetRequiredValue(_models), recipes, gate == new Gate() ? null : gate, source, parsed.GetValue(_oci), parsed.GetValue(_hub)), cancel);
            output.Result(Json(policy).AsObject(), _ => RegistryTables.Print([policy]));
        }
    }

    private sealed class Remove : RegistryCommand
    {
        private readonly Argument<string> _name = NameArgument();

        public Remove() : base("rm", "Removes a policy; pipelines that it started run on.", "qbb policy rm small") => Arguments.Add(_name);

        protected override async Task RunAsync(IRegistryApi registry, ParseResult parsed, Output output, CancellationToken cancel)
        {
            var name = parsed.GetRequiredValue(_name);
            await registry.RemovePolicyAsync(name, cancel);
            output.Result(new JsonObject { ["policy"] = name }, _ => Console.Out.WriteLine($"removed policy {name}"));
        }
    }
}
