using Microsoft.Playwright;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>What a person sees in a browser: Debian's chromium, driven by Playwright.</summary>
public sealed class BrowserTests : IDisposable
{
    private const string Chromium = "/usr/bin/chromium";
    private const string Name = "a-model-whose-name-is-as-long-as-a-name-may-be-and-not-shorter-1";
    private const float PatienceMilliseconds = 120_000;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_pushed_model_is_watched_becoming_the_champion_and_all_pages_fit()
    {
        Assert.SkipUnless(File.Exists(Chromium), $"there is no {Chromium}: apt-get install chromium");
        using var up = new UpApp(_folder.File("data"), TinyRecipes.Full());
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await playwright.Chromium.LaunchAsync(new()
        {
            ExecutablePath = Chromium,
            Args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        });
        var page = await browser.NewPageAsync();
        page.SetDefaultTimeout(PatienceMilliseconds);
        var complaints = new List<string>();
        page.Console += (_, message) =>
        {
            if (message.Type == "error")
                complaints.Add(message.Text);
        };
        page.PageError += (_, error) => complaints.Add(error);

        await page.GotoAsync(up.Url);
        await Expect(page.GetByText("No models yet"));
        var pushed = Command.Done("push", TinyRecipes.Model, "--name", Name, "--url", up.Url, "--json");
        await page.GotoAsync($"{up.Url}/pipelines/{pushed.Json["pipelines"]![0]}");
        // The page is loaded once; the rest it does by itself.
        await Expect(page.Locator("#state .state.running"));
        await Expect(page.Locator("#stages li[aria-current=step]"));
        await Expect(page.Locator("#state .state.succeeded"));
        await Expect(page.Locator("#outcome").GetByText("KL divergence"));

        await page.Locator("#outcome").GetByRole(AriaRole.Link, new() { Name = "version 2" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Level = 1 }).GetByText("champion"));
        await Expect(page.Locator("#distillation svg.chart").First);
        await page.GetByLabel("Alias", new() { Exact = true }).FillAsync("production");
        await page.GetByRole(AriaRole.Button, new() { Name = "Set alias" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Level = 1 }).GetByText("production"));

        await page.GotoAsync($"{up.Url}/models/{Name}");
        await page.GetByRole(AriaRole.Link, new() { Name = "KL (nats)" }).ClickAsync();
        await Expect(page.Locator("th[aria-sort=ascending]").GetByText("KL (nats)"));
        await page.GetByLabel("Compare version 1").CheckAsync();
        await page.GetByLabel("Compare version 2").CheckAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Compare selected" }).ClickAsync();
        await Expect(page.GetByText($"Versions 1, 2 of {Name}"));

        // What the site's policy blocks of the reference is a complaint.
        await page.GotoAsync(up.Url);
        await page.GetByRole(AriaRole.Link, new() { Name = "API reference" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "qbb registry" }));
        await Expect(page.Locator("[aria-label='models endpoints']"));
        foreach (var width in (int[])[360, 820, 1440])
        {
            await page.SetViewportSizeAsync(width, 900);
            (await page.EvaluateAsync<int>("document.documentElement.scrollWidth - document.documentElement.clientWidth")).ShouldBe(0, $"/docs at {width}");
        }
        complaints.ShouldBeEmpty();
        foreach (var width in (int[])[360, 1280])
            await FitAsync(await browser.NewPageAsync(new() { ViewportSize = new() { Width = width, Height = 800 } }), up.Url);
    }

    /// <summary>Every page fits the screen, and the keyboard reaches its content.</summary>
    private static async Task FitAsync(IPage page, string url)
    {
        string[] pages =
        [
            "/", $"/models/{Name}", $"/models/{Name}/versions/2", $"/models/{Name}/compare?v=1&v=2", "/pipelines", "/policies", "/search", "/interface", "/none",
        ];
        foreach (var address in pages)
        {
            await page.GotoAsync(url + address);
            (await page.EvaluateAsync<int>("document.documentElement.scrollWidth - document.documentElement.clientWidth")).ShouldBe(0, address);
            await page.Keyboard.PressAsync("Tab");
            (await page.EvaluateAsync<string>("document.activeElement.textContent")).ShouldBe("Skip to content", address);
            await page.Keyboard.PressAsync("Enter");
            (await page.EvaluateAsync<string>("document.activeElement.id")).ShouldBe("main", address);
        }
    }

    private static Task Expect(ILocator locator) => Assertions.Expect(locator).ToBeVisibleAsync(new() { Timeout = PatienceMilliseconds });
}
