using Qbb.Hosting;
using Qbb.Registry;

return await ServiceHost.RunAsync(args, "registry", "http://localhost:8080", builder => builder.AddRegistry(), app => app.MapRegistry());
