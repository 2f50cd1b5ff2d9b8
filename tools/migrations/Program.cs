Console.WriteLine("this program is for dotnet ef: see services/registry/Data/Migrations/README.md");
