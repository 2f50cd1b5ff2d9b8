using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Qbb.Inference.Serving.OpenAi;

/// <summary>The routes of OpenAI's API for one model.</summary>
internal sealed class Routes(ServedModels models, TimeProvider clock)
{
    private static readonly JsonSerializerOptions s_json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public Task CompletionsAsync(HttpContext http) => AnswerAsync(http, (model, body) => model.ReadCompletion(body), (model, reading, submission) => new CompletionAnswers(model, $"cmpl-{Guid.NewGuid():N}", Now, submission,
        [.. reading.Requests.SelectMany(request => Enumerable.Repeat(reading.Echo ? model.Tokenizer.Decode(request.Prompt, skipSpecialTokens: true) : "", request.Choices))]));

    public Task ChatAsync(HttpContext http) => AnswerAsync(http, (model, body) => model.ReadChat(body), (model, _, submission) => new ChatAnswers(model, $"chatcmpl-{Guid.NewGuid():N}", Now, submission));

    public Task ModelsAsync(HttpContext http) => WriteAsync(http, StatusCodes.Status200OK, new() { ["object"] = "list", ["data"] = new JsonArray(ModelJson()) });

    public Task ModelAsync(HttpContext http) => $"{http.Request.RouteValues["name"]}" is var name && name == models.Current.Name ? WriteAsync(http, StatusCodes.Status200OK, ModelJson())
        : throw new ApiException(StatusCodes.Status404NotFound, $"The model '{name}' does not exist; this server has {models.Current.Name}.", "model", "model_not_found");

    public Task HealthAsync(HttpContext http) => models.IsDraining
        ? WriteAsync(http, StatusCodes.Status503ServiceUnavailable, new() { ["status"] = "stopping" }) : WriteAsync(http, StatusCodes.Status200OK, new() { ["status"] = "ok" });

    public static Task WriteAsync(HttpContext http, int status, JsonObject json)
    {
        http.Response.StatusCode = status;
        http.Response.ContentType = "application/json";
        return http.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(json.ToJsonString(s_json)), http.RequestAborted).AsTask();
    }

    private long Now => clock.GetUtcNow().ToUnixTimeSeconds();

    private JsonObject ModelJson()
    {
        var model = models.Current;
        var json = new JsonObject
        {
            ["id"] = model.Name,
            ["object"] = "model",
            ["created"] = model.Created,
            ["owned_by"] = "qbb",
            ["max_model_len"] = model.Limits.Context,
        };
        if (model.Version is { } version)
            json["version"] = version;
        return json;
    }

    private async Task AnswerAsync(HttpContext http, Func<ServedModel, JsonObject, ServedModel.Reading> read, Func<ServedModel, ServedModel.Reading, Submission, Answers> answer)
    {
        var body = await BodyAsync(http);
        using var lease = models.Take();
        var reading = read(lease.Model, body);
        var submission = lease.Scheduler.Submit(reading.Requests, http.RequestAborted);
        var answers = answer(lease.Model, reading, submission);
        var (choices, logprobs) = (reading.Requests.Sum(request => request.Choices), reading.Requests[0].Logprobs is not null);
        if (reading.Stream)
            await StreamAsync(http, submission, answers, choices, logprobs, reading.Usage);
        else
            await WholeAsync(http, submission, answers, choices, logprobs);
    }

    private static async Task<JsonObject> BodyAsync(HttpContext http)
    {
        // Pages of other sites may send other types to this machine without asking it first.
        if (!http.Request.HasJsonContentType())
            throw new ApiException(StatusCodes.Status415UnsupportedMediaType, "The request must have the header Content-Type: application/json.");
        try
        {
            return await JsonNode.ParseAsync(http.Request.Body, null, new JsonDocumentOptions { AllowDuplicateProperties = false }, http.RequestAborted) as JsonObject
                ?? throw new ApiException(StatusCodes.Status400BadRequest, "The request must be a JSON object.", code: "invalid_json");
        }
        catch (JsonException error)
        {
            throw new ApiException(StatusCodes.Status400BadRequest, $"The request is not valid JSON: {error.Message}", code: "invalid_json");
        }
    }

    private static async Task WholeAsync(HttpContext http, Submission submission, Answers answers, int choices, bool logprobs)
    {
        var texts = Enumerable.Range(0, choices).Select(_ => new StringBuilder()).ToArray();
        var tokens = Enumerable.Range(0, choices).Select(_ => new List<TokenLogprobs>()).ToArray();
        var ends = new FinishReason[choices];
        await foreach (var part in submission.Parts.ReadAllAsync(http.RequestAborted))
        {
            texts[part.Choice].Append(part.Text);
            tokens[part.Choice].AddRange(part.Tokens);
            ends[part.Choice] = part.Finish ?? ends[part.Choice];
        }
        await WriteAsync(http, StatusCodes.Status200OK,
            answers.ToJson(texts.Select((text, k) => answers.Choice(k, $"{text}", logprobs ? tokens[k] : null, ends[k]))));
    }

    private static async Task StreamAsync(HttpContext http, Submission submission, Answers answers, int choices, bool logprobs, bool usage)
    {
        // Until there is a token a failure is still an answer of its own.
        await submission.Parts.WaitToReadAsync(http.RequestAborted);
        http.Response.ContentType = "text/event-stream";
        http.Response.Headers.CacheControl = "no-cache";
        http.Response.Headers["X-Accel-Buffering"] = "no";
        http.Features.GetRequiredFeature<IHttpResponseBodyFeature>().DisableBuffering();
        foreach (var choice in answers.Openings(choices))
            await EventAsync(http, answers.ToPart(choice, usage));
        try
        {
            while (await submission.Parts.WaitToReadAsync(http.RequestAborted))
            {
                while (submission.Parts.TryRead(out var part))
                {
                    foreach (var choice in answers.Additions(part, logprobs))
                        await EventAsync(http, answers.ToPart(choice, usage));
                }
                await http.Response.Body.FlushAsync(http.RequestAborted);
            }
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            // Too late for a status: clients know an event with an error.
            await EventAsync(http, (ApiException.Of(error) ?? ServingErrors.Internal()).ToJson());
            return;
        }
        if (usage)
            await EventAsync(http, answers.ToUsagePart());
        await http.Response.Body.WriteAsync("data: [DONE]\n\n"u8.ToArray(), http.RequestAborted);
    }

    private static Task EventAsync(HttpContext http, JsonObject json) =>
        http.Response.Body.WriteAsync(Encoding.UTF8.GetBytes($"data: {json.ToJsonString(s_json)}\n\n"), http.RequestAborted).AsTask();
}
