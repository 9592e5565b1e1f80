import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

/** What a Java program does by default: each first request of a client offers h2c. The argument is the edge's URL. */
class OffersHttp2 {
    public static void main(String[] arguments) throws Exception {
        URI edge = URI.create(arguments[0]);
        HttpRequest get = HttpRequest.newBuilder(edge).build();
        for (String body : new String[] {"short", "x".repeat(200_000)}) {
            HttpClient client = HttpClient.newHttpClient();
            HttpRequest.BodyPublisher known = HttpRequest.BodyPublishers.ofString(body);
            say(client, HttpRequest.newBuilder(edge).POST(known).build());
            say(client, get);
            HttpRequest.BodyPublisher unknown = HttpRequest.BodyPublishers.fromPublisher(known);
            say(HttpClient.newHttpClient(), HttpRequest.newBuilder(edge).POST(unknown).build());
        }
        say(HttpClient.newHttpClient(), get);
    }

    private static void say(HttpClient client, HttpRequest request) throws Exception {
        var response = client.send(request, BodyHandlers.ofString());
        System.out.println(request.method() + " " + response.version() + " " + response.statusCode() + " " + response.body());
    }
}
