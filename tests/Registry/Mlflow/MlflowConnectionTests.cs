using System.ComponentModel.DataAnnotations;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Qbb.Registry.Mlflow;
using Qbb.Registry.Mlflow.Client;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Mlflow;

/// <summary>Credentials, private certificates, and servers that are slow, away, or not MLflow.</summary>
public sealed class MlflowConnectionTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_token_of_a_file_is_read_again_when_it_was_renewed()
    {
        await using var fake = await FakeMlflow.StartAsync();
        fake.Authorization = "Bearer first";
        var file = _folder.Write("token", "first\n");
        using var api = Connect(fake, options => options.TokenFile = file);
        await api.CreateExperimentAsync(new("a"));
        fake.Authorization = "Bearer second";
        var refused = await Should.ThrowAsync<MlflowException>(() => api.GetExperimentByNameAsync("a"));
        (refused.Status, refused.IsRefusal, refused.MayHaveActed).ShouldBe((HttpStatusCode.Unauthorized, false, false));
        refused.Message.ShouldContain("Mlflow:Token");
        _folder.Write("token", "second\n");
        await Should.ThrowAsync<MlflowException>(() => api.GetExperimentByNameAsync("a"));
        (await api.GetExperimentByNameAsync("a")).Experiment.Name.ShouldBe("a");
    }

    [Fact]
    public async Task Basic_authentication_is_sent()
    {
        await using var fake = await FakeMlflow.StartAsync();
        fake.Authorization = "Basic dXNlcjpww6Rzcw==";
        using var api = Connect(fake, options => (options.Username, options.Password) = ("user", "päss"));
        await api.CreateExperimentAsync(new("a"));
    }

    [Fact]
    public async Task A_server_of_a_private_authority_is_trusted_with_its_certificate_alone()
    {
        using var authority = Authority("qbb test authority");
        using var certificate = Certificate(authority);
        await using var fake = await FakeMlflow.StartAsync(certificate);
        var file = _folder.Write("ca.pem", authority.ExportCertificatePem());
        using (var api = Connect(fake, options => options.CaFile = file))
            await api.CreateExperimentAsync(new("a"));
        using (var api = Connect(fake, _ => { }))
            (await Should.ThrowAsync<MlflowException>(() => api.GetExperimentByNameAsync("a"))).MayHaveActed.ShouldBeTrue();
        using var other = Authority("another authority");
        var wrong = _folder.Write("other.pem", other.ExportCertificatePem());
        using (var api = Connect(fake, options => options.CaFile = wrong))
            (await Should.ThrowAsync<MlflowException>(() => api.GetExperimentByNameAsync("a"))).Message.ShouldContain("no MLflow server answers");
    }

    [Fact]
    public async Task Servers_that_hang_fail_or_are_gone_are_told_from_refusals()
    {
        var fake = await FakeMlflow.StartAsync();
        using var api = Connect(fake, _ => { });
        using var impatient = Connect(fake, options => options.RequestSeconds = 0.2);
        fake.Fault = _ => Fault.Hangs;
        var hung = await Should.ThrowAsync<MlflowException>(() => impatient.CreateExperimentAsync(new("a")));
        hung.Message.ShouldContain("did not answer within 0.2 s (Mlflow:RequestSeconds)");
        fake.Fault = _ => Fault.LosesAnswer;
        var lost = await Should.ThrowAsync<MlflowException>(() => api.CreateExperimentAsync(new("b")));
        fake.Fault = _ => Fault.Fails;
        var failed = await Should.ThrowAsync<MlflowException>(() => api.DeleteExperimentAsync(new("1")));
        failed.Code.ShouldBe(MlflowCodes.Internal);
        await fake.DisposeAsync();
        var gone = await Should.ThrowAsync<MlflowException>(() => api.DeleteExperimentAsync(new("1")));
        gone.Message.ShouldStartWith($"no MLflow server answers at {fake.Address}");
        foreach (var error in new[] { hung, lost, failed, gone })
            (error.IsRefusal, error.MayHaveActed).ShouldBe((false, true), error.Message);
        using var stop = new CancellationTokenSource();
        await stop.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => api.GetExperimentAsync("1", stop.Token));
    }

    [Theory]
    [InlineData(200, "text/html", "<html>log in</html>", "answered 200")]
    [InlineData(200, "application/json", "[]", "not as MLflow does")]
    [InlineData(403, "text/plain", "Invalid Host header - possible DNS rebinding attack detected", "Invalid Host header")]
    [InlineData(404, "text/html", "<html>nothing here</html>", "answered 404")]
    [InlineData(429, "application/json", """{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"slow down"}""", "slow down (REQUEST_LIMIT_EXCEEDED)")]
    [InlineData(503, "text/html", "<html>maintenance</html>", "answered 503")]
    public async Task Other_answers_wait_for_an_operator(int status, string type, string body, string said)
    {
        using var api = MlflowConnection.Connect(new MlflowOptions { TrackingUri = "http://mlflow.test/" }, TimeProvider.System, new Answer(status, type, body));
        var error = await Should.ThrowAsync<MlflowException>(() => api.GetExperimentByNameAsync("a"));
        error.Message.ShouldContain(said);
        error.IsRefusal.ShouldBeFalse();
        if (status >= 400)
            error.RetryAfter.ShouldBe(TimeSpan.FromSeconds(7));
    }

    [Theory]
    [InlineData("TrackingUri", "mlflow", "give an address")]
    [InlineData("Experiment", " ", "give a name")]
    [InlineData("ModelPrefix", "team/", "cannot have slashes")]
    [InlineData("Username", "me", "Password (or PasswordFile) is not set")]
    [InlineData("Password", "secret", "Username is not set")]
    [InlineData("TokenFile", "/no/such/file", "there is no such file")]
    [InlineData("RequestSeconds", 0.0, "RequestSeconds")]
    public void Settings_that_cannot_be_used_are_named(string setting, object value, string said)
    {
        var options = new MlflowOptions { TrackingUri = "https://mlflow.example.com" };
        typeof(MlflowOptions).GetProperty(setting)!.SetValue(options, value);
        var problems = new List<ValidationResult>();
        Validator.TryValidateObject(options, new ValidationContext(options), problems, validateAllProperties: true).ShouldBeFalse();
        problems.ShouldContain(problem => problem.ErrorMessage!.Contains(said) || problem.MemberNames.Contains(said));
    }

    public void Dispose() => _folder.Dispose();

    private static IMlflowApi Connect(FakeMlflow fake, Action<MlflowOptions> set)
    {
        var options = new MlflowOptions { TrackingUri = fake.Address.AbsoluteUri };
        set(options);
        return MlflowConnection.Connect(options, TimeProvider.System);
    }

    private static X509Certificate2 Authority(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
    }

    private static X509Certificate2 Certificate(X509Certificate2 authority)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        request.CertificateExtensions.Add(names.Build());
        using var issued = request.Create(authority, authority.NotBefore, authority.NotAfter, [1, 2, 3]);
        using var withKey = issued.CopyWithPrivateKey(key);
        return X509CertificateLoader.LoadPkcs12(withKey.Export(X509ContentType.Pkcs12), null);
    }

    private sealed class Answer(int status, string type, string body) : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var answer = new HttpResponseMessage((HttpStatusCode)status) { Content = new StringContent(body, null, type), RequestMessage = request };
            answer.Headers.Add("Retry-After", "7");
            return Task.FromResult(answer);
        }
    }
}
