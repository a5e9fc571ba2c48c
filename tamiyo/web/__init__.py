"""The pages of `tamiyo browse`, made on the server; what they show comes from tamiyo/api."""
