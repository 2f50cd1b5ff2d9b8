using System.Globalization;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.OpenApi;
using Qbb.Contracts;

namespace Qbb.Registry.Http;

/// <summary>
/// What the OpenAPI document has beyond the endpoints' own summaries and the XML comments of shared/Api: parameters, errors, headers and examples, each written
/// once for all operations.
/// </summary>
internal static class ApiDocument
{
    private const string Events = "SseItemOfPipelineView";
    private const string Problem = "application/problem+json";
    private const string Digest64 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    private const string Pipeline = "01a2190b-4bed-754b-a4a6-5b09073c2fe1";

    // By name, or by tag and name where that means something else: (what it is, an example).
    private static readonly Dictionary<string, (string Text, JsonNode Example)> s_parameters = new()
    {
        ["name"] = ("The model's name.", "tiny"),
        ["webhooks/name"] = ("The webhook's name.", "ci"),
        ["delivery"] = ("The delivery's id.", 41),
        ["policies/name"] = ("The policy's name.", "small"),
        ["reference"] = ("A version: its number, an alias, latest, or the first digits of its manifest's digest.", "champion"),
        ["file"] = ("The file's name, with forward slashes.", "config.json"),
        ["digest"] = ("SHA-256 of the bytes, as 64 lower-case hexadecimal digits.", Digest64),
        ["alias"] = ("The alias.", "champion"),
        ["search/alias"] = ("Only versions with this alias.", "champion"),
        ["key"] = ("The tag's key: 1 to 64 letters, digits, dots, hyphens and underscores.", "team"),
        ["id"] = ("The pipeline's id.", Pipeline),
        ["q"] = ("Only models with this text in their name or description.", "llama"),
        ["limit"] = ($"Size of a page: 1 to {Paging.Most}, by default {Paging.Usual}.", 20),
        ["after"] = ("The value of next in the page before.", "tiny"),
        ["versions/after"] = ("The value of next in the page before.", 7),
        ["search/after"] = ("The value of next in the page before.", "20"),
        ["pipelines/after"] = ("The value of next in the page before.", Pipeline),
        ["model"] = ("Only pipelines of this model.", "tiny"),
        ["state"] = ($"Only pipelines in this state: {string.Join(", ", Wire.NamesOf<PipelineState>())}.", "running"),
        ["kind"] = ($"Only versions of this kind: {string.Join(", ", Wire.NamesOf<VersionKind>())}.", "quantized"),
        ["recipe"] = ("Only versions of this recipe, by its digest or name.", "three-bases"),
        ["tag"] = ("Only versions with this tag, key or key:value. May be repeated.", new JsonArray("team:red")),
        ["metric"] = ("A condition on a metric, with <, <=, >, >= or =. May be repeated.", new JsonArray("kl<=0.1")),
        ["sort"] = ("created or a metric, with - before it for the largest first.", "-created"),
        ["dryRun"] = ("Only reports what would be removed.", true),
        ["deletedDays"] = ("Days since the deletion that versions are kept; default: Registry:DeletedDays.", 30),
        ["resultDays"] = ("Days that unused results of units are kept; default: Registry:ResultDays.", 14),
        ["graceMinutes"] = ("Minutes that new blobs are kept; default: Registry:GraceMinutes.", 60),
        ["retryDays"] = ("Days that failed pipelines keep what a retry needs; default: Registry:RetryDays.", 7),
        [Idempotent.Header] = ("Up to 128 characters, new for every request: the same request with the same key gets the first answer and does nothing.", Pipeline),
        ["If-Match"] = ("An ETag: the request is refused if the resource has changed since.", "\"4f1b2b0b822cd15d6c15b0f00a089f86\""),
        ["If-None-Match"] = ("An ETag: the answer is 304 if the resource still has it.", "\"4f1b2b0b822cd15d6c15b0f00a089f86\""),
        ["Range"] = ("A part of the file.", "bytes=1048576-"),
    };

    private static readonly Dictionary<int, (string Text, string Detail)> s_errors = new()
    {
        [400] = ("A parameter or the body is invalid.", "limit is 0, it must be 1 to 500"),
        [401] = ("The key of Registry:CollectKey is missing.", "garbage collection needs the key of Registry:CollectKey: send it as Authorization: Bearer KEY"),
        [403] = ("The request comes from a page of another site, or is not permitted.", "the request comes from a page of another site"),
        [404] = ("Not found: the detail names the missing resource.", "there is no model tiny"),
        [409] = ("Conflict with the current state or with a concurrent update: the detail says which.", "concurrent update, retry"),
        [410] = ("The files were removed by garbage collection.", "the version's files were collected at 2026-11-29 03:00:00Z: upload them again"),
        [412] = ("The resource was changed since it had the ETag of If-Match.", "it was changed meanwhile: read it again, then repeat the change"),
        [413] = ("The body is too large.", "the body is too large"),
        [415] = ("Unsupported media type.", "the body must be application/json"),
        [416] = ("The range begins behind the end of the file.", "the range is outside the file"),
        [422] = ("The content is well-formed but invalid.", "the recipe cannot be used: decomposition.bases is 99, it must be 1 to 8"),
        [500] = ("The registry failed; its log has the reason.", "internal error; see the service's log"),
        [502] = ("MLflow failed.", "no MLflow server answers at https://mlflow.example.com"),
        [503] = ("The database or the store is unavailable or busy: retry after Retry-After.", "the database is away or busy: try again in a moment"),
        [507] = ("The store's disk is full.", "the store is full"),
    };

    // Maps of names have no record to describe them.
    private static readonly Dictionary<string, JsonNode> s_maps = new()
    {
        ["aliases"] = new JsonObject { ["champion"] = 2 },
        ["tags"] = new JsonObject { ["team"] = "red" },
        ["metrics"] = new JsonObject { ["perplexity"] = 12.4, ["kl"] = 0.081 },
    };

    private static readonly string[] s_order = ["models", "versions", "aliases", "tags", "metrics", "lineage", "gate", "search", "pipelines", "policies"];

    /// <summary>The place of a tag among all, for readers.</summary>
    public static int PlaceOf(string tag) => Array.IndexOf(s_order, tag) is var place and >= 0 ? place : s_order.Length;

    /// <summary>What a status of a refusal means, for those that no code of ours gave a reason.</summary>
    public static string TextOf(int status) => s_errors.TryGetValue(status, out var error) ? error.Text : ReasonPhrases.GetReasonPhrase(status);

    public static void AddApiDocument(this IServiceCollection services) => services.AddOpenApi(options =>
    {
        options.AddSchemaTransformer((schema, context, _) =>
        {
            Describe(schema, context.JsonTypeInfo.Type);
            return Task.CompletedTask;
        });
        options.AddOperationTransformer((operation, context, _) =>
        {
            AddHeaders(operation, context.Description.ActionDescriptor.EndpointMetadata, context.Description.HttpMethod!);
            foreach (var parameter in operation.Parameters?.OfType<OpenApiParameter>() ?? [])
                Describe(parameter, operation.Tags?.FirstOrDefault()?.Name);
            AddErrors(operation, context.Description.HttpMethod!, context.Description.RelativePath!, new OpenApiSchemaReference(nameof(ProblemDetails), context.Document));
            return Task.CompletedTask;
        });
        options.AddDocumentTransformer((document, _, _) =>
        {
            document.Info = new OpenApiInfo
            {
                Title = "qbb registry",
                Version = "1",
                Description = "Models, their versions and the pipelines that quantize them. JSON over HTTP; errors are ProblemDetails, whose detail is for people.",
                License = new OpenApiLicense { Name = "Apache-2.0", Identifier = "Apache-2.0" },
            };
            foreach (var schema in document.Components?.Schemas?.Values ?? [])
                Spread(schema);
            foreach (var operation in document.Paths.Values.SelectMany(path => path.Operations?.Values ?? Enumerable.Empty<OpenApiOperation>()))
                AddExamples(operation);
            document.Components!.Schemas!.Remove(Events);
            document.Tags = document.Tags?.OrderBy(tag => PlaceOf(tag.Name!)).ToHashSet();
            return Task.CompletedTask;
        });
    });

    private static void Describe(OpenApiSchema schema, Type type)
    {
        // Numbers are read from strings too, but nobody needs to send them so.
        if (schema.Type is { } types && (types & (JsonSchemaType.Integer | JsonSchemaType.Number)) != 0 && types.HasFlag(JsonSchemaType.String))
            (schema.Type, schema.Pattern) = (types & ~JsonSchemaType.String, null);
        if (type == typeof(Digest))
            (schema.Type, schema.Pattern, schema.Description, schema.Examples) = (JsonSchemaType.String, "^[0-9a-f]{64}$", "SHA-256 of bytes, as 64 lower-case hexadecimal digits.", [Digest64]);
        else if (type == typeof(JsonNode) || type == typeof(JsonElement))
            schema.Description ??= "A recipe.";
        else if (type == typeof(JsonObject))
            schema.Description ??= "A JSON object.";
        else if (type == typeof(Stream))
            schema.Description = "Bytes.";
        if (type != typeof(ProblemDetails))
            return;
        schema.Description = "Why a request was refused.";
        schema.Properties!["errors"] = new OpenApiSchema { Type = JsonSchemaType.Array | JsonSchemaType.Null, Items = new OpenApiSchema { Type = JsonSchemaType.String } };
        foreach (var (name, text) in new[]
        {
            ("type", "An address that names the kind of problem; may be missing."), ("title", "The status in words; may be missing."), ("status", "The HTTP status."),
            ("detail", "What is wrong and what helps, for people; always there."), ("instance", "Not used."), ("errors", "The single problems, where there are several."),
        })
            ((OpenApiSchema)schema.Properties[name]).Description = text;
        schema.Examples = [Refusal(StatusCodes.Status404NotFound)];
    }

    private static void AddHeaders(OpenApiOperation operation, IList<object> metadata, string method)
    {
        var hasTag = metadata.OfType<MethodInfo>().FirstOrDefault()?.ReturnType is { } returned && $"{returned}".Contains(nameof(StatusCodeHttpResult), StringComparison.Ordinal);
        if (metadata.OfType<Idempotent>().Any())
            Add(Idempotent.Header);
        if (operation.Responses!.ContainsKey("412"))
            Add("If-Match");
        if (operation.Responses.ContainsKey("206"))
            Add("Range");
        if (hasTag && method == HttpMethods.Get)
        {
            Add("If-None-Match");
            operation.Responses["304"] = new OpenApiResponse { Description = "The resource still has the ETag of If-None-Match." };
        }

        void Add(string name) => (operation.Parameters ??= []).Add(new OpenApiParameter { Name = name, In = ParameterLocation.Header, Schema = new OpenApiSchema { Type = JsonSchemaType.String } });
    }

    private static void Describe(OpenApiParameter parameter, string? tag)
    {
        if (s_parameters.TryGetValue($"{tag}/{parameter.Name}", out var found) || s_parameters.TryGetValue(parameter.Name!, out found))
            (parameter.Description, parameter.Example) = (found.Text, found.Example.DeepClone());
    }

    /// <summary>The errors that follow from what an operation is, beside those that it declares.</summary>
    private static void AddErrors(OpenApiOperation operation, string method, string path, IOpenApiSchema schema)
    {
        var isChange = !HttpMethods.IsGet(method) && !HttpMethods.IsHead(method);
        // These create what they name.
        var creates = isChange && (HttpMethods.IsPut(method) && path.StartsWith("api/policies", StringComparison.Ordinal)
            || HttpMethods.IsPut(method) && path.StartsWith("api/blobs", StringComparison.Ordinal) || HttpMethods.IsPost(method) && path.EndsWith("/versions", StringComparison.Ordinal));
        var body = operation.RequestBody?.Content?.Keys.ToList() ?? [];
        if (operation.Parameters?.Any(parameter => parameter.In is ParameterLocation.Query) == true || body.Count > 0 || path.Contains("{digest}", StringComparison.Ordinal))
            AddError(400);
        if (path.Contains('{') && !creates)
            AddError(404);
        if (body.Contains("application/json"))
            AddError(415);
        if (isChange)
        {
            AddError(403);
            AddError(409);
        }
        AddError(500);
        AddError(503);
        foreach (var (code, response) in operation.Responses!)
        {
            if (!s_errors.TryGetValue(int.Parse(code, CultureInfo.InvariantCulture), out var error))
                continue;
            response.Description = error.Text;
            ((OpenApiResponse)response).Content = new Dictionary<string, OpenApiMediaType>
            {
                [Problem] = new() { Schema = schema, Example = Refusal(int.Parse(code, CultureInfo.InvariantCulture)) },
            };
        }

        void AddError(int status) => operation.Responses!.TryAdd($"{status}", new OpenApiResponse());
    }

    private static JsonObject Refusal(int status) => new() { ["title"] = ReasonPhrases.GetReasonPhrase(status), ["status"] = status, ["detail"] = s_errors[status].Detail };

    /// <summary>Gives the properties of a record their parts of its example, and those that may be null the description of what they refer to.</summary>
    private static void Spread(IOpenApiSchema schema)
    {
        foreach (var (name, property) in schema.Properties ?? new Dictionary<string, IOpenApiSchema>())
        {
            if (property is not OpenApiSchema own)
                continue;
            if (schema.Examples?.FirstOrDefault()?[name] is { } part)
                own.Examples ??= [part.DeepClone()];
            own.Description ??= own.OneOf?.OfType<OpenApiSchemaReference>().FirstOrDefault()?.Description;
        }
    }

    /// <summary>Gives bodies the examples of their records.</summary>
    private static void AddExamples(OpenApiOperation operation)
    {
        var contents = (operation.Responses?.Values.Select(response => response.Content) ?? []).Append(operation.RequestBody?.Content).OfType<IDictionary<string, OpenApiMediaType>>();
        foreach (var (type, content) in contents.SelectMany(content => content))
        {
            // Of an event its data.
            if (type == "text/event-stream")
                content.Schema = content.Schema?.Properties?["data"];
            content.Example ??= type switch
            {
                "text/markdown" => "---\nbase_model: tiny\nbase_model_relation: quantized\n---\n# tiny\n",
                "text/event-stream" => $"event: pipeline\ndata: {ExampleOf(content.Schema, operation)?.ToJsonString()}\n\n",
                "application/octet-stream" => null,
                _ => ExampleOf(content.Schema, operation),
            };
        }
    }

    private static JsonNode? ExampleOf(IOpenApiSchema? schema, OpenApiOperation operation) => schema switch
    {
        null => null,
        { Examples: [{ } example, ..] } => example.DeepClone(),
        { Items: { } items } => new JsonArray(ExampleOf(items, operation)),
        { AdditionalProperties: not null } => operation.Tags?.FirstOrDefault()?.Name is { } tag && s_maps.TryGetValue(tag, out var map) ? map.DeepClone() : null,
        { Properties.Count: > 0 } => new JsonObject(schema.Properties.Select(property => KeyValuePair.Create(property.Key, ExampleOf(property.Value, operation)))),
        _ => null,
    };
}
